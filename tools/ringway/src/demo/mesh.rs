//! The mesh itself: network, control plane, apps, proxies and redirect rules, and their start.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use kit::{
    capture::{self, Options, Rules, Via},
    net::{Namespace, Network, Plan, Pod, Process, Spawn},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    bootstrap,
    build::Programs,
    cast::{self, App, CONTROL, CONTROL_IP, NAMESPACE, ROLES, Role},
    folder::{self, Folder, PROXY_ID},
    ledger::Ledger,
    progress::Progress,
};
use crate::failure::{Context, Failure};

/// The file of the mesh's root in the folder of the certificate authority.
const ROOT_CERTIFICATE: &str = "root-cert.pem";
/// The variable that tells a proxy where its token is.
const TOKEN_VARIABLE: &str = "RINGWAY_TOKEN_FILE";
/// What an Envoy needs to run beside others on one machine.
const ENVOY_FLAGS: [&str; 3] = ["--disable-hot-restart", "--concurrency", "2"];
/// How long a program may take until it answers.
const READY_PATIENCE: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(10);
/// How long a single look at a port may take.
const LOOK: Duration = Duration::from_millis(500);

/// A running mesh; dropping it stops everything in it.
pub(crate) struct Mesh {
    // Processes come first: they must be gone before the threads that they hang on.
    processes: Vec<Process>,
    network: Network,
    started: Instant,
    ready: Duration,
}

/// What is needed to start a process.
struct Starter<'a> {
    folder: &'a Folder,
    programs: &'a Programs,
    ledger: &'a Ledger,
}

impl Mesh {
    /// Starts all of it and waits until every part answers.
    pub(crate) fn start(
        folder: &Folder,
        programs: &Programs,
        ledger: &Ledger,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        progress.step("joining pods by a bridge");
        let network = network(ledger)?;
        let mut mesh = Self { processes: Vec::new(), network, started, ready: Duration::ZERO };
        let starter = Starter { folder, programs, ledger };
        progress.step("starting the control plane");
        mesh.control_plane(&starter)?;
        progress.step("starting apps and their proxies");
        for role in &ROLES {
            mesh.app(&starter, role)?;
            if role.sidecar {
                mesh.sidecar(&starter, role)?;
            }
        }
        progress.step("waiting for the proxies' configuration");
        mesh.wait_until_ready(&starter)?;
        mesh.ready = mesh.started.elapsed();
        Ok(mesh)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// How long the start took, without building.
    pub(crate) fn ready(&self) -> Duration {
        self.ready
    }

    /// The namespace of a pod of the cast.
    pub(crate) fn namespace(&self, name: &str) -> Result<Namespace, Failure> {
        self.pod(name).map(|pod| pod.namespace.clone())
    }

    fn pod(&self, name: &str) -> Result<&Pod, Failure> {
        self.network.pod(name).ok_or_else(|| Failure::new(format!("there is no pod {name}")))
    }

    fn control_plane(&mut self, starter: &Starter<'_>) -> Result<(), Failure> {
        let config = starter.folder.config();
        let state = starter.folder.ca();
        let words: Vec<OsString> = vec![
            starter.programs.ringwayd.clone().into(),
            "--config-dir".into(),
            config.into(),
            "--ca-dir".into(),
            state.into(),
        ];
        self.spawn(starter, CONTROL, CONTROL, Spawn { command: words, ..Spawn::default() })?;
        for port in [bootstrap::XDS_PORT, bootstrap::SECURE_PORT] {
            let address = SocketAddr::new(CONTROL_IP.into(), port);
            self.wait(CONTROL, &format!("listening on port {port}"), move || accepts(address))?;
        }
        Ok(())
    }

    fn app(&mut self, starter: &Starter<'_>, role: &Role) -> Result<(), Failure> {
        let (mode, port) = match role.app {
            App::Http { port } => ("--http", port),
            App::Tcp { port } => ("--tcp", port),
            App::None => return Ok(()),
        };
        let words: Vec<OsString> = vec![
            starter.programs.ringway.clone().into(),
            "echo".into(),
            mode.into(),
            format!("0.0.0.0:{port}").into(),
            "--label".into(),
            role.version.into(),
        ];
        self.spawn(starter, role.name, "app", Spawn { command: words, ..Spawn::default() })?;
        let address = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), port);
        self.wait(role.name, &format!("listening on port {port}"), move || accepts(address))
    }

    fn sidecar(&mut self, starter: &Starter<'_>, role: &Role) -> Result<(), Failure> {
        let token = starter.join_token(role)?;
        let other = starter.programs.other(role.name);
        let mut bootstrap = bootstrap::bootstrap(role, &starter.root_certificate()?);
        if other.is_some() {
            bootstrap::without_agent(&mut bootstrap, &token);
        }
        let token = starter.proxy_file(&format!("{}.token", role.name), &token)?;
        let path = starter.proxy_json(&format!("{}.json", role.name), &bootstrap)?;
        let program = other.unwrap_or(&starter.programs.proxy);
        let mut words: Vec<OsString> = vec![program.into(), "-c".into(), path.into()];
        if other.is_some() {
            words.extend(ENVOY_FLAGS.map(OsString::from));
        }
        let spawn = Spawn {
            command: words,
            identity: Some((PROXY_ID, PROXY_ID)),
            env: BTreeMap::from([(TOKEN_VARIABLE.into(), token.display().to_string())]),
            ..Spawn::default()
        };
        self.spawn(starter, role.name, "proxy", spawn)?;
        self.redirect(role)
    }

    /// Installs the redirect rules; where a program refuses, netlink may still be allowed.
    fn redirect(&self, role: &Role) -> Result<(), Failure> {
        let pod = self.pod(role.name)?;
        let options = Options { ipv6: pod.ip6.is_some(), ..Options::default() };
        let applied = pod.namespace.run(move || {
            let rules = Rules::new(&options);
            capture::apply(&rules, Via::Auto).or_else(|_| capture::apply(&rules, Via::Netlink))
        })?;
        applied.map(drop).context(|| format!("cannot redirect the connections of {}", role.name))
    }

    fn spawn(
        &mut self,
        starter: &Starter<'_>,
        pod: &str,
        name: &str,
        what: Spawn,
    ) -> Result<(), Failure> {
        let log = match pod == name {
            true => format!("{name}.log"),
            false => format!("{pod}-{name}.log"),
        };
        let spawn = Spawn {
            name: name.to_owned(),
            log: Some(starter.folder.logs().join(log)),
            supervisor: Some(starter.programs.ringway.clone()),
            ..what
        };
        let process = spawn.start(&self.pod(pod)?.namespace)?;
        starter.ledger.add(pod, &process);
        self.processes.push(process);
        Ok(())
    }

    fn wait_until_ready(&mut self, starter: &Starter<'_>) -> Result<(), Failure> {
        for role in ROLES.iter().filter(|role| role.sidecar) {
            self.wait(role.name, "ready", proxy_is_ready)
                .map_err(|failure| starter.explain(role, failure))?;
        }
        Ok(())
    }

    /// Looks from inside the pod until `look` says yes; ends early when a process has died.
    fn wait(
        &mut self,
        pod: &str,
        what: &str,
        look: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<(), Failure> {
        let namespace = self.namespace(pod)?;
        let deadline = Instant::now() + READY_PATIENCE;
        while !namespace.run(look.clone())? {
            for process in &mut self.processes {
                if let Some(status) = process.ended() {
                    let name = process.name();
                    return Err(Failure::new(format!(
                        "{name} ended while {pod} started: {status}"
                    ))
                    .hint("read its last words in the logs"));
                }
            }
            if Instant::now() > deadline {
                let seconds = READY_PATIENCE.as_secs();
                return Err(Failure::new(format!("{pod} is not {what} after {seconds} s")));
            }
            thread::sleep(READY_POLL);
        }
        Ok(())
    }
}

impl Drop for Mesh {
    /// All are told at once; each is waited for when its own turn to be dropped comes.
    fn drop(&mut self) {
        self.processes.iter().for_each(|process| process.signal(Signal::SIGTERM));
    }
}

impl Starter<'_> {
    /// A signed token with which the proxy of this pod proves whose it is.
    fn join_token(&self, role: &Role) -> Result<String, Failure> {
        let done = std::process::Command::new(&self.programs.ringwayd)
            .args(["token", "--namespace", NAMESPACE, "--service-account", role.account])
            .arg("--ca-dir")
            .arg(self.folder.ca())
            .output()
            .context(|| "cannot run ringwayd token".into())?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Failure::new(format!("ringwayd token refused: {}", said.trim())));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// The mesh's root, where the proxies can read it.
    fn root_certificate(&self) -> Result<PathBuf, Failure> {
        let path = self.folder.ca().join(ROOT_CERTIFICATE);
        let text = fs::read_to_string(&path).context(|| path.display().to_string())?;
        self.proxy_file(ROOT_CERTIFICATE, &text)
    }

    fn proxy_json(&self, name: &str, content: &Value) -> Result<PathBuf, Failure> {
        let text = serde_json::to_string_pretty(content).context(|| name.to_owned())?;
        self.proxy_file(name, &text)
    }

    /// A file that only the proxies may read. All proxies share the root certificate, and one that
    /// reads it while it is written for the next must not find it empty.
    fn proxy_file(&self, name: &str, content: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.run().join(name);
        let passing = path.with_extension("new");
        let place = || format!("cannot write {}", path.display());
        fs::write(&passing, content).context(place)?;
        folder::give_to_proxy(&passing)?;
        fs::rename(&passing, &path).context(place)?;
        Ok(path)
    }

    /// Adds the last line of the proxy's log, which mostly names the reason.
    fn explain(&self, role: &Role, failure: Failure) -> Failure {
        let log = self.folder.logs().join(format!("{}-proxy.log", role.name));
        let text = fs::read_to_string(log).unwrap_or_default();
        match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => failure.hint(format!("its log ends with: {line}")),
            None => failure,
        }
    }
}

fn network(ledger: &Ledger) -> Result<Network, Failure> {
    let mut network = Network::create(Plan::default())?;
    let control = std::iter::once((CONTROL, CONTROL_IP));
    for (name, ip) in control.chain(ROLES.iter().map(|role| (role.name, role.ip))) {
        let pod = network.add_pod(name, ip)?;
        let entry = (name.to_owned(), ip, pod.namespace.path());
        ledger.change(|record| record.pods.push(entry));
    }
    Ok(network)
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, LOOK).is_ok()
}

/// Envoy's `/ready`: 200 once listeners and clusters have come.
fn proxy_is_ready() -> bool {
    let ask = || -> io::Result<bool> {
        use io::{Read, Write};
        let admin = SocketAddr::new(cast::LOOPBACK.into(), bootstrap::ADMIN_PORT);
        let mut stream = TcpStream::connect_timeout(&admin, LOOK)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
