//! Whether another machine answers over one link: echo requests (ping) and TCP, without a capability.

mod echo;
mod over;
mod stream;

pub use echo::Echo;
pub use stream::{connect, listen};
