//! One connection to the daemon for everything that one call of the plugin asks.

use super::{Client, ClientError};
use crate::api::RunDirectory;
use crate::api::protocol::{Reply, Request};
use crate::sys::trace;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A client that is connected at its first question, and keeps the connection for the next one.
#[derive(Debug, Default)]
pub struct KeptClient(Mutex<Option<Client>>);

impl KeptClient {
    /// As [`Client::ask`], until `deadline`.
    ///
    /// # Errors
    /// As those of [`Client::connect`] and [`Client::ask`].
    pub fn ask(&self, run: &RunDirectory, deadline: Instant, request: &Request) -> Result<Reply, ClientError> {
        self.ask_while(run, deadline, request, || ())
    }

    /// As [`KeptClient::ask`]; `meanwhile` runs once the question is sent, and before its answer is read.
    ///
    /// # Errors
    /// As [`KeptClient::ask`].
    pub fn ask_while(
        &self,
        run: &RunDirectory,
        deadline: Instant,
        request: &Request,
        mut meanwhile: impl FnMut(),
    ) -> Result<Reply, ClientError> {
        let _step = trace::step("plexusd");
        self.speak(run, deadline, |client| client.ask_while(request, &mut meanwhile))
    }

    /// As [`Client::tell`], until `deadline`.
    ///
    /// # Errors
    /// As those of [`Client::connect`] and [`Client::tell`].
    pub fn tell(&self, run: &RunDirectory, deadline: Instant, request: &Request) -> Result<(), ClientError> {
        self.speak(run, deadline, |client| client.tell(request))
    }

    /// A client that failed is not kept: a late answer would be taken for that to the next question.
    fn speak<T>(
        &self,
        run: &RunDirectory,
        deadline: Instant,
        mut speak: impl FnMut(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut kept = self.kept();
        if let Some(mut client) = kept.take() {
            client.set_deadline(deadline);
            match speak(&mut client) {
                // The daemon hangs up where nothing is said for a while, and at its end: another one may be there. It
                // may have heard the question, and each may be asked twice.
                Err(ClientError::Broken(_)) => {}
                Err(error) => return Err(error),
                Ok(answer) => {
                    *kept = Some(client);
                    return Ok(answer);
                }
            }
        }
        let mut client = Client::connect(run, deadline)?;
        let answer = speak(&mut client)?;
        *kept = Some(client);
        Ok(answer)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::protocol::Health;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A daemon that hangs up after each second answer; tells how many lines each connection had.
    fn daemon(run: &RunDirectory) -> mpsc::Receiver<usize> {
        std::fs::create_dir_all(run.daemon()).unwrap();
        let listener = UnixListener::bind(run.socket()).unwrap();
        let (count, counted) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.by_ref().take(3) {
                    let reply = match serde_json::from_str(&line.unwrap()).unwrap() {
                        Request::Hello(hello) => Reply::Hello(hello),
                        _ => Reply::Health(Health::default()),
                    };
                    writeln!(&stream, "{}", serde_json::to_string(&reply).unwrap()).unwrap();
                }
                count.send(3).unwrap();
            }
        });
        counted
    }

    #[test]
    fn a_connection_serves_several_questions_and_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let kept = KeptClient::default();
        let ask = || kept.ask(&run, Instant::now() + Duration::from_secs(5), &Request::Health { test: false });
        assert!(ask().unwrap_err().is_absent());
        let counted = daemon(&run);
        assert!(ask().is_ok() && ask().is_ok());
        // One greeting and two questions.
        assert_eq!(counted.recv().unwrap(), 3);
        // It has hung up since.
        assert!(ask().is_ok() && ask().is_ok());
        assert_eq!(counted.recv().unwrap(), 3);
    }

    #[test]
    fn what_is_done_meanwhile_is_done_while_the_daemon_works() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        std::fs::create_dir_all(run.daemon()).unwrap();
        let listener = UnixListener::bind(run.socket()).unwrap();
        let (hear, heard) = mpsc::channel();
        let (go_on, may_answer) = mpsc::channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let lines: Vec<_> =
                BufReader::new(stream.try_clone().unwrap()).lines().take(2).map(Result::unwrap).collect();
            hear.send(lines.len()).unwrap();
            may_answer.recv().unwrap();
            for reply in
                [Reply::Hello(crate::api::protocol::Hello::from_program("d")), Reply::Leased { addresses: Vec::new() }]
            {
                writeln!(&stream, "{}", serde_json::to_string(&reply).unwrap()).unwrap();
            }
        });
        let meanwhile = || {
            assert_eq!(heard.recv_timeout(Duration::from_secs(5)), Ok(2));
            go_on.send(()).unwrap();
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let answer =
            KeptClient::default().ask_while(&run, deadline, &Request::Health { test: false }, meanwhile).unwrap();
        assert_eq!(answer.kind(), "leased");
    }
}
