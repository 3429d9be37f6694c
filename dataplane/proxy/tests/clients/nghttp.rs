//! nghttp2's client, load generator and server, and the h2 library as a client.

use std::path::Path;
use std::process::{Command, Output};

use crate::place::{
    Proxy, Running, Upstream, folder, http_servers, papers, program, python, run, script, start,
    upload,
};

#[test]
fn nghttp_is_served() {
    let test = "nghttp_is_served";
    let (Some(nghttp), Some(python)) = (program(test, "nghttp"), python(test)) else { return };
    let (upstreams, _servers) = http_servers(&python);
    let proxy = Proxy::start("nghttp", &upstreams);
    let (file, sum) = upload("nghttp-upload", 300_000);
    let file = file.display().to_string();
    for (tls, to) in [false, true].into_iter().flat_map(|tls| upstreams.map(|to| (tls, to))) {
        let ask = |path: &str, words: &[&str]| {
            let (to, url) = (format!("x-to: {}", to.name), format!("{}{path}", proxy.url(tls)));
            let words = [&["-y", "-H", to.as_str()], words, &[url.as_str()]].concat();
            let output = run(30, &nghttp, &words);
            assert!(output.status.success(), "{words:?}: {}", text(&output));
            text(&output)
        };
        assert_eq!(ask("/size/100", &["-m", "20"]).len(), 2_000);
        assert_eq!(size(&ask("/size/200000", &["-w", "10", "-W", "10"])), 200_000, "small windows");
        assert_eq!(size(&ask("/size/50000", &["-b", "200", "-c", "0"])), 50_000, "no table");
        assert_eq!(size(&ask("/size/50000", &["--no-dep", "-c", "10", "-c", "5000"])), 50_000);
        assert!(ask("/echo", &["--continuation"]).contains("continuation-test"), "long heads");
        for words in [&["-d", &*file][..], &["-d", &file, "--expect-continue", "-b", "100"]] {
            let said = ask("/echo", words);
            assert!(said.contains(&sum), "{words:?}: {said}");
        }
        let said = ask("/echo", &["-d", &file, "--trailer", "x-t: 1", "--no-content-length"]);
        assert!(said.contains(&sum), "{said}");
        assert_eq!(said.contains(r#""trailers": [["x-t", "1"]]"#), to.http2, "{said}");
    }
}

/// Bytes of the body, whatever they are as text.
fn size(body: &str) -> usize {
    body.chars().count()
}

/// Each byte as a character.
fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

/// nghttpd, clear and by TLS, with frames that are padded and windows that are small.
fn nghttpd(program: &Path) -> ([Upstream; 2], Vec<Running>) {
    let htdocs = folder().join("htdocs");
    std::fs::create_dir_all(&htdocs).expect("a folder");
    std::fs::write(htdocs.join("page"), "0123456789".repeat(2_000)).expect("written");
    let upstreams =
        [Upstream::new("nghttpd", true, false), Upstream::new("nghttpd-tls", true, true)];
    let started = upstreams.iter().map(|upstream| {
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "--echo-upload", "-b", "30", "-w", "14", "-m", "50"]);
        command.arg("-d").arg(&htdocs).arg("--trailer").arg("x-trailer: t");
        if !upstream.tls {
            command.arg("--no-tls");
        }
        command.arg(upstream.address.port().to_string());
        // The key comes first here.
        command.args(upstream.files().into_iter().rev());
        start(upstream.name, &mut command, &[upstream.address])
    });
    let started = started.collect();
    (upstreams, started)
}

#[test]
fn h2load_and_nghttpd_lose_nothing() {
    let test = "h2load_and_nghttpd_lose_nothing";
    let (Some(h2load), Some(server)) = (program(test, "h2load"), program(test, "nghttpd")) else {
        return;
    };
    let (upstreams, _servers) = nghttpd(&server);
    let proxy = Proxy::start("h2load", &upstreams);
    let (file, _) = upload("h2load-upload", 20_000);
    let file = file.display().to_string();
    let url = |tls| format!("{}/page", proxy.url(tls));
    for (tls, to) in [false, true].into_iter().flat_map(|tls| upstreams.map(|to| (tls, to))) {
        let (url, to) = (url(tls), format!("x-to: {}", to.name));
        let h1: &[&str] = if tls { &["--h1"] } else { &["-p", "http/1.1"] };
        let small: &[&str] = &["-m", "20", "-w", "12", "-W", "14"];
        for (words, requests) in [
            (&["-m", "20"][..], 1_000),
            (small, 300),
            (h1, 500),
            (&["-m", "10", "-d", &*file], 300),
            (&[h1, &["-d", &file]].concat(), 200),
        ] {
            let all = ["-c", "5", "-n", &requests.to_string(), "-H", &to];
            let words = [&all[..], words, &[url.as_str()]].concat();
            let said = text(&run(60, &h2load, &words));
            let expected = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
            assert!(said.contains(&expected), "{words:?}: {said}");
            assert!(said.contains(&format!("status codes: {requests} 2xx")), "{words:?}: {said}");
        }
    }
}

#[test]
fn the_h2_library_is_served() {
    let test = "the_h2_library_is_served";
    let Some(python) = python(test) else { return };
    let (upstreams, _servers) = http_servers(&python);
    let proxy = Proxy::start("h2-library", &upstreams);
    let script = script("h2_client.py");
    for (tls, to) in [false, true].into_iter().flat_map(|tls| upstreams.map(|to| (tls, to))) {
        let port = proxy.address(tls).port().to_string();
        let authority = papers().authority.display().to_string();
        let mut words = vec![&*script, &port, to.name];
        words.extend(tls.then_some(&*authority));
        let said = text(&run(90, &python, &words));
        let passed = said.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(said.ends_with("done\n") && !said.contains("FAILED"), "{words:?}:\n{said}");
        assert_eq!(passed, 12, "{words:?}:\n{said}");
    }
}
