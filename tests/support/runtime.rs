//! A stub of a container runtime: it answers one question of CRI, its version, by real gRPC on a real socket.

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::fs;
use std::future::{Ready, ready};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// A stub that serves; it ends, and its socket goes, when this is dropped.
pub struct Runtime {
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    socket: PathBuf,
}

impl Runtime {
    /// Serves on `socket`, in the namespaces of the calling thread.
    pub fn start(socket: &Path, version: &'static str) -> Runtime {
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, version) => {}
                    _ = stopped => {}
                }
            });
        });
        Runtime { stop: Some(stop), serving: Some(serving), socket: socket.to_owned() }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.serving.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
    }
}

async fn serve(listener: UnixListener, version: &'static str) {
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| async move {
            let is_known = request.uri().path() == "/runtime.v1.RuntimeService/Version";
            let service = Version(is_known.then_some(version));
            Ok::<_, Infallible>(Grpc::new(ProstCodec::default()).unary(service, request).await)
        });
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
    }
}

struct Version(Option<&'static str>);

impl UnaryService<VersionRequest> for Version {
    type Response = VersionResponse;
    type Future = Ready<Result<Response<VersionResponse>, Status>>;

    fn call(&mut self, _: Request<VersionRequest>) -> Self::Future {
        ready(self.0.map_or(Err(Status::unimplemented("unknown method")), |version| {
            Ok(Response::new(VersionResponse {
                version: "0.1.0".into(),
                runtime_name: "stub".into(),
                runtime_version: version.into(),
                runtime_api_version: "v1".into(),
            }))
        }))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionRequest {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    runtime_name: String,
    #[prost(string, tag = "3")]
    runtime_version: String,
    #[prost(string, tag = "4")]
    runtime_api_version: String,
}
