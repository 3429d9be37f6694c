//! The real Envoy as the sidecar of a pod, in a network namespace of its own.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::Server;

/// Which form of xDS Envoy speaks.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Sotw,
    Delta,
}

/// A running Envoy.
pub struct Envoy {
    child: Child,
    folder: tempfile::TempDir,
    admin: String,
}

impl Envoy {
    /// Starts it as the sidecar of `pod`; everything else it learns from the server.
    pub async fn start(
        binary: &Path,
        server: &Server,
        form: Form,
        (pod, account, address): (&str, &str, &str),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = bootstrap(server, form, pod, account, address);
        let config = folder.path().join("bootstrap.json");
        std::fs::write(&config, bootstrap.to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let admin = folder.path().join("admin");
        let child = Command::new(binary)
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "error", "-c"])
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { child, folder, admin: String::new() };
        envoy.admin = envoy.wait_for(&admin).await;
        envoy
    }

    async fn wait_for(&mut self, admin: &Path) -> String {
        let end = Instant::now() + super::TIMEOUT;
        loop {
            if let Ok(address) = std::fs::read_to_string(admin)
                && !address.is_empty()
            {
                return address;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{ended:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The body of a page of the admin port.
    pub async fn page(&self, path: &str) -> String {
        let stream = TcpStream::connect(&self.admin).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(path).header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        String::from_utf8_lossy(&body).into_owned()
    }

    pub async fn json(&self, path: &str) -> Value {
        let text = self.page(path).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// One counter or gauge.
    pub async fn stat(&self, name: &str) -> u64 {
        let text = self.page(&format!("/stats?filter=^{name}$")).await;
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        value.unwrap_or_else(|| panic!("{name} in {text:?}")).trim().parse().unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Envoy's log ---\n{}", self.log());
        }
    }
}

/// The real Envoy: `RINGWAY_ENVOY`, or where the test set-up puts it.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("RINGWAY_ENVOY") {
        return Some(path.into());
    }
    let target = Path::new(env!("CARGO_BIN_EXE_ringwayd")).ancestors().nth(2)?;
    Some(target.join("venv/bin/envoy")).filter(|path| path.exists())
}

/// Says by name that a test did not run.
pub fn skip(name: &str, reason: &str) {
    eprintln!("skipped {name}: {reason}");
    if let Some(file) = std::env::var_os("RINGWAY_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(file);
        writeln!(file.unwrap(), "{name}: {reason}").unwrap();
    }
}

/// Runs the calling test again in a network namespace of its own, because Envoy binds the ports
/// that it is told to. Returns whether this is that second run.
pub fn in_own_network(test: &str) -> bool {
    const MARK: &str = "RINGWAY_TEST_OWN_NETWORK";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let flags: &[&str] = match Command::new("unshare").args(["--net", "true"]).status() {
        Ok(status) if status.success() => &["--net"],
        _ => &["--net", "--map-root-user"],
    };
    let possible = Command::new("unshare").args(flags).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        skip(test, "no privilege to make a network namespace");
        return false;
    }
    let again = Command::new("unshare")
        .args(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status();
    assert!(again.unwrap().success(), "{test} failed in its own network");
    false
}

/// Brings the loopback interface up.
pub async fn loopback_up() {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    let connection = tokio::spawn(connection);
    let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
    handle.link().set(up).execute().await.unwrap();
    connection.abort();
}

fn bootstrap(server: &Server, form: Form, pod: &str, account: &str, address: &str) -> Value {
    let authorization = format!("Bearer {}", server.token(account));
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let api_type = match form {
        Form::Sotw => "GRPC",
        Form::Delta => "DELTA_GRPC",
    };
    json!({
        "node": {
            "id": format!("sidecar~{address}~{pod}.default~default.svc.cluster.local"),
            "cluster": format!("{account}.default"),
            "metadata": { "NAMESPACE": "default", "SERVICE_ACCOUNT": account },
        },
        "admin": { "address": socket(0) },
        "dynamic_resources": {
            "cds_config": ads,
            "lds_config": ads,
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{
                    "envoy_grpc": { "cluster_name": "xds-grpc" },
                    "initial_metadata": [{ "key": "authorization", "value": authorization }],
                }],
            },
        },
        "static_resources": { "clusters": [
            cluster(server, "xds-grpc", json!([])),
            cluster(server, "sds-grpc", with_token(&authorization)),
        ] },
    })
}

/// The HTTP filters of a cluster that add the token to every request: the place for it where the
/// gRPC service is named by the control plane and not by the bootstrap.
fn with_token(authorization: &str) -> Value {
    const HEADERS: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
    const CODEC: &str = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
    let header = json!({ "key": "authorization", "value": authorization });
    let append = json!({ "header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" });
    json!([
        { "name": "envoy.filters.http.header_mutation", "typed_config": {
            "@type": format!("type.googleapis.com/{HEADERS}"),
            "mutations": { "request_mutations": [{ "append": append }] },
        } },
        { "name": "envoy.filters.http.upstream_codec", "typed_config": {
            "@type": format!("type.googleapis.com/{CODEC}"),
        } },
    ])
}

fn cluster(server: &Server, name: &str, http_filters: Value) -> Value {
    const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let mut options = json!({
        "@type": format!("type.googleapis.com/{HTTP}"),
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    if http_filters.as_array().is_some_and(|filters| !filters.is_empty()) {
        options["http_filters"] = http_filters;
    }
    let port = server.running.addresses.secure.port();
    let endpoint = json!({ "endpoint": { "address": socket(port) } });
    let name_of_server =
        json!({ "san_type": "DNS", "matcher": { "exact": "istiod.istio-system.svc" } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": { HTTP: options },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": format!("type.googleapis.com/{TLS}"),
            "sni": "istiod.istio-system.svc",
            "common_tls_context": { "validation_context": {
                "trusted_ca": { "inline_string": server.authority.root_pem() },
                "match_typed_subject_alt_names": [name_of_server],
            } },
        } },
    })
}

fn socket(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
