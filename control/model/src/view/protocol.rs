//! What is spoken on a port.

/// The protocol of a service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Protocol {
    Http,
    Http2,
    Grpc,
    GrpcWeb,
    Https,
    Tls,
    Tcp,
    Mongo,
    Redis,
    MySql,
    /// Nothing was said: found out per connection.
    Auto,
}

/// Ports whose protocols let the server speak first, so that they cannot be found out.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// `appProtocol` counts first, then the port's name up to its first `-`.
    pub fn select(app_protocol: Option<&str>, name: &str, port: u16) -> Self {
        let said = match app_protocol {
            Some(app) => Self::by_app_protocol(app),
            None => Self::by_name(name),
        };
        match said {
            Some(protocol) => protocol,
            None if SERVER_FIRST.contains(&port) => Self::Tcp,
            None => Self::Auto,
        }
    }

    fn by_app_protocol(app: &str) -> Option<Self> {
        match app {
            "kubernetes.io/h2c" => Some(Self::Http2),
            "kubernetes.io/ws" => Some(Self::Http),
            "kubernetes.io/wss" => Some(Self::Https),
            app => Self::by_word(app),
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("grpc-web") || name.starts_with("grpc-web-") {
            return Some(Self::GrpcWeb);
        }
        Self::by_word(name.split('-').next().unwrap_or_default())
    }

    fn by_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::MySql,
            _ => return None,
        })
    }

    /// Requests can be told apart and routed.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// HTTP/2 is spoken even without TLS.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// gRPC has its own rules for what may be sent again.
    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }
}
