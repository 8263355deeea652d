//! Pairing from within a session: a connection of its own, beside the session's.
//!
//! Owns no part of the screen: it says how far it is, and takes the code that a person types.

use std::pin::Pin;

use ipc_proto::control::{
    AwaitPairing, ControlReply, ControlRequest, PairingProgress, Secret, TypeCode,
};
use ipc_proto::paths::Paths;
use tokio::sync::mpsc;

use crate::client::{Client, ClientError, Identity, connect, devices};
use crate::error::CliError;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// A device can come already, so the session's own link is enough.
    NotNeeded,
    /// No link can be made now; why, and what to do.
    Refused(String),
    /// A device may open this link.
    Link(String),
    /// A device of this name shows its code.
    Waiting(String),
    /// That was not its code; so many tries are left.
    WrongCode(u8),
    /// A device of this name is paired.
    Paired(String),
    /// It came to nothing; why.
    Ended(String),
}

/// A pairing under way. Dropping it leaves the link to expire.
pub(super) struct Pairing {
    run: Pin<Box<dyn Future<Output = ()>>>,
    progress: mpsc::Receiver<Progress>,
    codes: mpsc::Sender<String>,
}

impl Pairing {
    /// Makes a link for a session, unless a device can come already.
    pub(super) fn start(paths: Paths, session: String) -> Self {
        // Few words in either direction; whoever is ahead waits for the other.
        let (say, progress) = mpsc::channel(4);
        let (codes, typed) = mpsc::channel(1);
        let run = Box::pin(async move {
            if let Err(error) = follow(&paths, session, &say, typed).await {
                // Nobody listens any more when the terminal is gone.
                let _ = say.send(Progress::Ended(error.to_string())).await;
            }
        });
        Self {
            run,
            progress,
            codes,
        }
    }

    /// What is next; nothing when it is over. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Progress> {
        loop {
            tokio::select! {
                biased;
                progress = self.progress.recv() => return progress,
                () = &mut self.run => self.run = Box::pin(std::future::pending()),
            }
        }
    }

    /// A person typed a code.
    pub(super) fn code(&self, code: String) {
        // A second code before the answer to the first is not needed.
        let _ = self.codes.try_send(code);
    }
}

async fn follow(
    paths: &Paths,
    session: String,
    say: &mpsc::Sender<Progress>,
    mut typed: mpsc::Receiver<String>,
) -> Result<(), CliError> {
    let identity = Identity::command("remote");
    let mut client = connect(paths, &identity.client_id).await?;
    client.initialize(&identity).await?;
    if devices(&mut client).await?.iter().any(|d| d.comes) {
        let _ = say.send(Progress::NotNeeded).await;
        return Ok(());
    }
    let begin = ControlRequest::BeginPairing {
        session: Some(session),
    };
    let begun = match client.control(begin).await {
        Ok(ControlReply::PairingBegun(begun)) => begun,
        Ok(_) => return Err(CliError::new("the daemon gave no pairing link")),
        Err(ClientError::Control { message, hint }) => {
            let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
            let _ = say.send(Progress::Refused(message + &hint)).await;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let _ = say.send(Progress::Link(begun.link.0.clone())).await;
    let mut known = None;
    loop {
        let wait = ControlRequest::AwaitPairing(AwaitPairing {
            pairing: begun.pairing.clone(),
            known: known.clone(),
        });
        let mut now = progress(&mut client, wait).await?;
        if known.as_ref() == Some(&now) {
            continue;
        }
        known = Some(now.clone());
        if let PairingProgress::Waiting { name } = &now {
            let _ = say.send(Progress::Waiting(name.clone())).await;
            let Some(code) = typed.recv().await else {
                return Ok(());
            };
            let code = ControlRequest::TypeCode(TypeCode {
                pairing: begun.pairing.clone(),
                code: Secret(code),
            });
            now = progress(&mut client, code).await?;
        }
        match now {
            PairingProgress::Paired { name, .. } => {
                let _ = say.send(Progress::Paired(name)).await;
                return Ok(());
            }
            PairingProgress::Ended { why } => {
                let _ = say.send(Progress::Ended(why)).await;
                return Ok(());
            }
            PairingProgress::WrongCode { tries_left } => {
                known = None;
                let _ = say.send(Progress::WrongCode(tries_left)).await;
            }
            PairingProgress::Open | PairingProgress::Waiting { .. } => {}
        }
    }
}

async fn progress(
    client: &mut Client,
    request: ControlRequest,
) -> Result<PairingProgress, CliError> {
    match client.control(request).await? {
        ControlReply::Pairing(progress) => Ok(progress),
        _ => Err(CliError::new("the daemon gave an answer that does not fit")),
    }
}
