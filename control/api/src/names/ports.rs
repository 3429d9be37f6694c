//! Ports of Istio's contract.

/// The proxy's admin interface, loopback only.
pub const ADMIN: u16 = 15000;
/// Outgoing connections are redirected here.
pub const OUTBOUND: u16 = 15001;
/// Never redirected to the proxy: used by it to detect loops.
pub const INBOUND_LOOP: u16 = 15002;
/// Incoming connections are redirected here.
pub const INBOUND: u16 = 15006;
/// HBONE: mutual TLS tunnels.
pub const HBONE: u16 = 15008;
/// xDS without TLS.
pub const XDS_PLAIN: u16 = 15010;
/// xDS and certificate signing over TLS.
pub const XDS_TLS: u16 = 15012;
/// The control plane's own metrics and debug pages.
pub const CONTROL_MONITORING: u16 = 15014;
/// The control plane's webhooks.
pub const WEBHOOK: u16 = 15017;
/// Probes rewritten to the agent, and merged metrics.
pub const AGENT: u16 = 15020;
/// Readiness of the proxy.
pub const READINESS: u16 = 15021;
/// The agent's DNS proxy.
pub const DNS: u16 = 15053;
/// The proxy's metrics in Prometheus' format.
pub const METRICS: u16 = 15090;
