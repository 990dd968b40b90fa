//! The daemon: answers the plugin's questions from memory and publishes what was attached.
//!
//! It needs no privilege but being root in name: everything that touches the node's network is done
//! by the plugin. [`run`] is the composition root; no other file knows more than its own part.

mod addresses;
mod calls;
mod controller;
pub mod devices;
mod exposition;
mod health;
mod http;
pub mod log;
mod metrics;
mod publishing;
pub mod settings;
mod shared;
mod socket;

pub use settings::Settings;
pub(in crate::daemon) use shared::Daemon;

use addresses::Addresses;
use anyhow::Context;
use calls::{CallMetrics, CallsSocket};
use devices::pod_resources::PodResources;
use health::installation::{self, Installation};
use health::policy;
use health::readiness::Readiness;
use metrics::Metrics;
use publishing::unpublished::Unpublished;
use socket::conversation::Conversations;
use socket::listener::Socket;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// How long what runs may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// It cannot be set up: the socket cannot be made, the kubeconfig is wrong.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = stop_signals()?;
    if settings.address_controller {
        return controller::run(settings, terminate, interrupt).await;
    }
    let readiness = Readiness::default();
    let open = readiness.await_check("socket", "the socket is not open yet");
    let synced = readiness.await_check("definitions", "network attachment definitions are not known yet");

    let cluster = Arc::new(settings.cluster().await?);
    let metrics = Metrics::default();
    let denied_pause = Duration::from_secs(settings.denied_seconds.into());
    let unpublished = Unpublished::new(settings.run_directory(), Arc::clone(&cluster), metrics.clone(), denied_pause);
    let unpublished = Arc::new(unpublished);
    let kubelet = PodResources::at(settings.pod_resources_socket.clone());
    let addresses = Arc::new(Addresses::new(settings.run_directory(), Arc::clone(&cluster)));
    let calls = CallMetrics::default();
    let open_connections = AtomicUsize::new(0);
    let daemon = Daemon { addresses, calls, cluster, kubelet, unpublished, readiness, metrics, open: open_connections };
    let daemon = Arc::new(daemon);

    let socket = Socket::open(&settings.run_directory()).context("open the socket")?;
    open.pass();
    tracing::info!(release = env!("CARGO_PKG_VERSION"), socket = %socket.path().display(), source = daemon.cluster.source(), "plexusd is listening");

    let mut background = JoinSet::new();
    background.spawn(daemon.readiness.clone().follow(Arc::clone(&daemon.cluster), synced));
    background.spawn(Arc::clone(&daemon.unpublished).sweep());
    background.spawn(Arc::clone(&daemon.addresses).follow(daemon.readiness.clone()));
    background.spawn({
        let daemon = Arc::clone(&daemon);
        async move { daemon.cluster.follow().await }
    });
    match CallsSocket::open(&settings.run_directory()) {
        Ok(socket) => drop(background.spawn(calls::follow(socket, daemon.calls.clone()))),
        // Pods need it not.
        Err(error) => {
            // Within the macro `log` is another one.
            let error = log::in_one_line(&error);
            tracing::warn!(error, "calls of the plugin are not counted");
        }
    }
    background.spawn(policy::follow(Arc::clone(&daemon.cluster), daemon.readiness.clone()));
    if let Some(source) = installation::Source::of(&settings) {
        background.spawn(Installation::new(&daemon).follow(source));
    }
    if let Some(address) = settings.metrics_address {
        let guard =
            settings.metrics_authorization.then(|| http::Guard::new(daemon.cluster.kubernetes())).transpose()?;
        background.spawn(http::serve(address, guard, Arc::<Daemon>::clone(&daemon)));
    }
    let mut conversations = Conversations::new(daemon);
    tokio::select! {
        () = conversations.serve(&socket) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("plexusd stops");
    conversations.finish(socket, GRACE).await;
    Ok(())
}

/// SIGTERM and SIGINT.
fn stop_signals() -> anyhow::Result<(Signal, Signal)> {
    let stop = |kind| signal(kind).context("listen for signals");
    Ok((stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?))
}
