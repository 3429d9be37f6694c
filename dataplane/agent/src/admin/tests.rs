use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Scene {
    address: SocketAddr,
    live: Arc<Live>,
    quit: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

async fn scene() -> Scene {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (live, (quit, quitting)) = (Arc::new(Live::default()), watch::channel(false));
    let admin = Admin {
        version: "1.2.3",
        node: ("sidecar~a".to_owned(), "reviews.default".to_owned()),
        live: live.clone(),
        features: vec![("local_bypass", "off".to_owned())],
        stats: Arc::new(|| "server.live: 1\n".to_owned()),
        clusters: Arc::new(|| "a::10.0.0.1:80::health_flags::healthy\n".to_owned()),
        quit,
        started: Instant::now(),
    };
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(listener, admin, stopped));
    Scene { address, live, quit: quitting, stop, served }
}

impl Scene {
    async fn ask(&self, request: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

const HOST: &str = "host: localhost:15000\r\n";

#[tokio::test]
async fn pages_answer_as_their_names_promise() {
    let scene = scene().await;
    assert!(scene.ask("GET /ready", HOST).await.starts_with("HTTP/1.1 503 "));
    scene.live.set();
    let cases = [
        ("GET /ready", "200", "LIVE"),
        ("GET /stats", "200", "server.live: 1"),
        ("GET /clusters", "200", "10.0.0.1:80"),
        ("GET /server_info", "200", "\"version\": \"ringway/1.2.3\""),
        ("GET /server_info", "200", "\"id\": \"sidecar~a\""),
        ("GET /server_info", "200", "\"local_bypass\": \"off\""),
        ("GET /config_dump", "501", "not built yet"),
        ("GET /", "200", "/quitquitquit"),
        ("GET /nothing", "404", "no such page"),
        ("POST /stats", "405", "allow: GET"),
        ("GET /quitquitquit", "405", "allow: POST"),
    ];
    for (request, status, part) in cases {
        let answer = scene.ask(request, HOST).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains(part), "{request}: {answer}");
    }
    assert!(!*scene.quit.borrow());
}

#[tokio::test]
async fn only_a_post_of_this_machine_ends_the_program() {
    let scene = scene().await;
    let cross = format!("{HOST}origin: http://evil.example\r\n");
    assert!(scene.ask("POST /quitquitquit", &cross).await.starts_with("HTTP/1.1 403 "));
    let rebound = "host: evil.example:15000\r\n";
    assert!(scene.ask("POST /quitquitquit", rebound).await.starts_with("HTTP/1.1 403 "));
    assert!(!*scene.quit.borrow());
    assert!(scene.ask("POST /quitquitquit", HOST).await.starts_with("HTTP/1.1 200 "));
    assert!(*scene.quit.borrow());
}

#[tokio::test]
async fn other_addresses_than_loopback_are_refused() {
    let error = bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.code, "agent.admin_address");
    assert!(bind("[::1]:0".parse().unwrap()).await.is_ok() || cfg!(not(target_os = "linux")));
}

#[tokio::test]
async fn it_stops_when_told() {
    let scene = scene().await;
    scene.stop.send_replace(true);
    scene.served.await.unwrap();
}
