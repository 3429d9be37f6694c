//! The bootstrap file: who this proxy is, what stands in the file, and where the rest comes from.

mod control;

use std::net::SocketAddr;
use std::path::Path;

use api::envoy::bootstrap as v3;
use api::envoy::bootstrap::bootstrap::{DynamicResources, StaticResources};
use api::envoy::bootstrap::runtime_layer::LayerSpecifier;
use api::envoy::core::{ConfigSource, Node, TypedExtensionConfig};

use crate::compile::{At, Compiler, Fault, decide, dns, source, type_name, value};
use crate::dns::Resolver;
use crate::refused::{Code, Kind, Refused};
use crate::update::{Origin, Update};

pub use control::{ControlPlane, Target, TargetTls};

/// An Envoy bootstrap, read.
#[derive(Debug)]
pub struct Bootstrap {
    /// Who this proxy is, as it tells the control plane.
    pub node: Node,
    /// Where the admin interface listens; `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// Listeners come over ADS (`dynamic_resources.lds_config`).
    pub asks_for_listeners: bool,
    /// Clusters come over ADS (`dynamic_resources.cds_config`).
    pub asks_for_clusters: bool,
    ads: Option<control::Ads>,
    resources: Update,
}

impl Bootstrap {
    /// Reads a file, YAML or JSON.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let text = std::fs::read_to_string(path).map_err(|error| Refused {
            kind: Kind::Bootstrap,
            name: path.display().to_string(),
            field: String::new(),
            code: Code::Missing,
            reason: format!("the file cannot be read: {error}"),
        })?;
        Self::parse(&text)
            .map_err(|refused| Refused { name: path.display().to_string(), ..refused })
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let message: v3::Bootstrap = api::text::parse(text).map_err(|error| Refused {
            kind: Kind::Bootstrap,
            name: String::new(),
            field: error.place,
            code: Code::Malformed,
            reason: error.reason,
        })?;
        Self::from_message(message)
    }

    /// Reads the message.
    pub fn from_message(message: v3::Bootstrap) -> Result<Self, Refused> {
        read(message).map_err(|fault| fault.of(Kind::Bootstrap, ""))
    }

    /// Takes out what stands in the file, to be applied before anything else.
    pub fn take_resources(&mut self) -> Update {
        std::mem::take(&mut self.resources)
    }

    /// How the control plane is reached; `None`: there is none.
    pub fn control_plane(&self, compiler: &mut Compiler) -> Result<Option<ControlPlane>, Refused> {
        let Some(ads) = &self.ads else { return Ok(None) };
        let name = &ads.source.cluster;
        ads.compile(compiler).map(Some).map_err(|fault| fault.of(Kind::Cluster, name))
    }
}

fn read(message: v3::Bootstrap) -> Result<Bootstrap, Fault> {
    let root = At::root();
    let at = &root;
    decide!(at, &message => v3::Bootstrap {
        used: node, static_resources, dynamic_resources, cluster_manager, layered_runtime,
            admin, bootstrap_extensions, use_tcp_for_dns_lookups, dns_resolution_config,
            typed_dns_resolver_config;
        refused: node_context_params, hds_config, stats_sinks, tracing, overload_manager,
            header_prefix, fatal_actions, config_sources, default_config_source,
            default_socket_interface, certificate_provider_instances, default_regex_engine,
            xds_delegate_extension, xds_config_tracker_extension, listener_manager;
        without_effect: flags_path, deferred_stat_options, stats_config, stats_flush_interval,
            watchdog, watchdogs, enable_dispatcher_stats, stats_server_version_override,
            inline_headers, perf_tracing_file_path, application_log_config,
            grpc_async_client_manager_config, memory_allocator_manager, enable_worker_cpu_affinity,
            stats_flush, stats_eviction;
    });
    manager(&at.field("cluster_manager"), cluster_manager.as_ref())?;
    runtime(&at.field("layered_runtime"), layered_runtime.as_ref())?;
    extensions(&at.field("bootstrap_extensions"), bootstrap_extensions)?;
    let dynamic = dynamic(&at.field("dynamic_resources"), dynamic_resources.as_ref())?;
    let (mut resources, ads) = statics(static_resources.clone(), dynamic.ads)?;
    resources.resolver = match (typed_dns_resolver_config, dns_resolution_config) {
        (Some(config), _) => {
            Some(dns::typed_resolver(&at.field("typed_dns_resolver_config"), config)?)
        }
        (None, Some(config)) => Some(dns::resolution(&at.field("dns_resolution_config"), config)?),
        (None, None) => Some(Resolver { tcp: *use_tcp_for_dns_lookups, ..Resolver::default() }),
    };
    resources.service_cluster = node.as_ref().map(|node| node.cluster.clone());
    Ok(Bootstrap {
        admin: self::admin(&at.field("admin"), admin.as_ref())?,
        node: node.clone().unwrap_or_default(),
        asks_for_listeners: dynamic.listeners,
        asks_for_clusters: dynamic.clusters,
        ads,
        resources,
    })
}

fn manager(at: &At<'_>, manager: Option<&v3::ClusterManager>) -> Result<(), Fault> {
    let Some(manager) = manager else { return Ok(()) };
    decide!(at, manager => v3::ClusterManager {
        refused: upstream_bind_config, load_stats_config;
        without_effect: local_cluster_name, outlier_detection, enable_deferred_cluster_creation;
    });
    Ok(())
}

/// None of Envoy's runtime keys exists here, so layers that cannot change say nothing.
fn runtime(at: &At<'_>, runtime: Option<&v3::LayeredRuntime>) -> Result<(), Fault> {
    let at = at.field("layers");
    for (index, layer) in runtime.iter().flat_map(|runtime| &runtime.layers).enumerate() {
        let refused = match &layer.layer_specifier {
            None | Some(LayerSpecifier::StaticLayer(_) | LayerSpecifier::AdminLayer(_)) => continue,
            Some(LayerSpecifier::DiskLayer(_)) => "disk_layer",
            Some(LayerSpecifier::RtdsLayer(_)) => "rtds_layer",
        };
        let reason = "runtime keys have no meaning here";
        return Err(at.item(index).field(refused).unsupported(reason));
    }
    Ok(())
}

/// The internal listener's buffer size means nothing as long as there is no internal listener.
fn extensions(at: &At<'_>, extensions: &[TypedExtensionConfig]) -> Result<(), Fault> {
    const INTERNAL: &str = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
    for (index, extension) in extensions.iter().enumerate() {
        let kind = extension.typed_config.as_ref().map(type_name).unwrap_or_default();
        if kind != INTERNAL {
            let reason = format!("`{}` ({kind}) is not supported", extension.name);
            return Err(at.item(index).unsupported(reason));
        }
    }
    Ok(())
}

fn admin(at: &At<'_>, admin: Option<&v3::Admin>) -> Result<Option<SocketAddr>, Fault> {
    let Some(admin) = admin else { return Ok(None) };
    decide!(at, admin => v3::Admin {
        used: address;
        refused: socket_options, allow_paths;
        without_effect: access_log, access_log_path, profile_path, ignore_global_conn_limit;
    });
    match address {
        Some(_) => value::socket(&at.field("address"), address).map(Some),
        None => Ok(None),
    }
}

struct Dynamic {
    listeners: bool,
    clusters: bool,
    ads: Option<control::Source>,
}

fn dynamic(at: &At<'_>, given: Option<&DynamicResources>) -> Result<Dynamic, Fault> {
    let Some(given) = given else {
        return Ok(Dynamic { listeners: false, clusters: false, ads: None });
    };
    decide!(at, given => DynamicResources {
        used: lds_config, cds_config, ads_config;
        refused: lds_resources_locator, cds_resources_locator;
    });
    let place = at.field("ads_config");
    let ads =
        ads_config.as_ref().map(|config| control::Source::read(&place, config)).transpose()?;
    let from_ads = |name: &str, config: &Option<ConfigSource>| {
        if config.is_none() {
            return Ok(false);
        }
        source::ads(&at.field(name), config)?;
        match ads.is_some() {
            true => Ok(true),
            false => Err(at.field(name).missing("`ads_config` has to be given as well")),
        }
    };
    let listeners = from_ads("lds_config", lds_config)?;
    let clusters = from_ads("cds_config", cds_config)?;
    Ok(Dynamic { listeners, clusters, ads })
}

/// The file's own resources. The clusters that lead to the control plane and to the secrets are the
/// agent's business and take no part in the traffic.
fn statics(
    given: Option<StaticResources>,
    ads: Option<control::Source>,
) -> Result<(Update, Option<control::Ads>), Fault> {
    let StaticResources { listeners, clusters, secrets } = given.unwrap_or_default();
    let mut update = Update { origin: Origin::File, ..Update::default() };
    let mut to_control = None;
    for cluster in clusters {
        if ads.as_ref().is_some_and(|ads| ads.cluster == cluster.name) {
            to_control = Some(cluster);
        } else if cluster.name != api::names::SDS_CLUSTER {
            update.clusters.push(cluster);
        }
    }
    listeners.into_iter().for_each(|listener| update.listeners.push(listener));
    secrets.into_iter().for_each(|secret| update.secrets.push(secret));
    let ads = match (ads, to_control) {
        (None, _) => None,
        (Some(source), Some(cluster)) => Some(control::Ads { source, cluster }),
        (Some(source), None) => {
            let root = At::root();
            let at = root.field("dynamic_resources");
            let reason = format!("there is no cluster `{}` in static_resources", source.cluster);
            return Err(at.field("ads_config").fault(Code::Unknown, reason));
        }
    };
    Ok((update, ads))
}
