//! Bad weather between a client and a server: a TCP proxy on loopback that carries, delays, cuts or swallows.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::servers::free_port;

/// What happens to connections, those that are open and those to come.
#[derive(Debug, Clone, Copy)]
pub enum Weather {
    /// Bytes are carried.
    Fair,
    /// Every piece from the server, at most 16 KiB, is this late.
    Slow(Duration),
    /// A connection is reset once this many bytes came from the server under this weather.
    CutAfter(usize),
    /// Connections are accepted, and nothing is carried either way.
    BlackHole,
    /// The client is told that the server has said everything; what the client says is still carried.
    HalfClosed,
    /// Nobody listens, and open connections are reset.
    Refused,
}

/// A proxy in fair weather. Dropping it closes everything.
pub struct Proxy {
    pub port: u16,
    weather: watch::Sender<Weather>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    listening: bool,
    open: usize,
}

impl Proxy {
    /// In front of a port of 127.0.0.1.
    pub async fn to(upstream: u16) -> Self {
        let port = free_port();
        let (weather, weathers) = watch::channel(Weather::Fair);
        let (states, state) = watch::channel(State::default());
        let task = tokio::spawn(listen(port, upstream, weathers, states));
        let proxy = Self { port, weather, state, task };
        proxy.until("listening", |state| state.listening).await;
        proxy
    }

    /// Changes the weather. Returns when the proxy listens or, when refused, has reset everything.
    pub async fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
        let refused = matches!(weather, Weather::Refused);
        self.until("in that weather", |state| state.listening != refused).await;
    }

    /// Waits until clients have so many connections.
    pub async fn until_open(&self, count: usize) {
        self.until(&format!("at {count} connections"), |state| state.open == count).await;
    }

    async fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let mut state = self.state.clone();
        let met = tokio::time::timeout(Duration::from_secs(30), state.wait_for(condition)).await;
        assert!(matches!(met, Ok(Ok(_))), "the proxy is not {what}: {:?}", *self.state.borrow());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts as the weather allows. Connections live in here, so they end with it.
async fn listen(port: u16, upstream: u16, weathers: watch::Receiver<Weather>, states: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    let mut forecast = weathers.clone();
    loop {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the proxy's port is free");
        loop {
            states.send_replace(State { listening: true, open: connections.len() });
            tokio::select! {
                () = refused(&mut forecast) => break,
                Ok((client, _)) = listener.accept() => {
                    connections.spawn(connect(client, upstream, weathers.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        states.send_replace(State::default());
        if forecast.wait_for(|weather| !matches!(weather, Weather::Refused)).await.is_err() {
            return;
        }
    }
}

/// One connection, until both sides have said everything or it is reset.
async fn connect(mut client: TcpStream, upstream: u16, mut weathers: watch::Receiver<Weather>) {
    // The server hears of a client when there is a way to it.
    let _ = weathers.wait_for(|weather| !matches!(weather, Weather::BlackHole)).await;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = carry(from_client, to_server, weathers.clone(), false);
    let down = carry(from_server, to_client, weathers.clone(), true);
    let carried = tokio::select! {
        () = refused(&mut weathers) => false,
        carried = async { tokio::try_join!(up, down) } => carried.is_ok(),
    };
    if !carried {
        // With a linger of zero, closing a socket resets its connection.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// One direction, until `from` has said everything. An error resets the connection.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weathers: watch::Receiver<Weather>,
    from_server: bool,
) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    let mut carried = 0;
    loop {
        let weather = *weathers.borrow_and_update();
        let room = match weather {
            Weather::HalfClosed if from_server => return to.shutdown().await,
            Weather::CutAfter(bytes) if from_server => piece.len().min(bytes - carried),
            _ => piece.len(),
        };
        if room == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let read = tokio::select! {
            changed = weathers.changed() => {
                changed.map_err(io::Error::other)?;
                carried = 0;
                continue;
            }
            read = from.read(&mut piece[..room]), if !matches!(weather, Weather::BlackHole) => read?,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        if let Weather::Slow(delay) = weather
            && from_server
        {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&piece[..read]).await?;
        carried += read;
    }
}

async fn refused(weathers: &mut watch::Receiver<Weather>) {
    // A proxy that is gone refuses, too.
    let _ = weathers.wait_for(|weather| matches!(weather, Weather::Refused)).await;
}
