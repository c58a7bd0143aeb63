// SPDX-License-Identifier: GPL-2.0

//! What steps consist of.

use super::Place;

/// Where a pointer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// To memory, which ends there.
    Good,
    Null,
    Unmapped,
    Kernel,
    /// To memory that may only be read.
    ReadOnly,
    /// To a page that may not be accessed, right behind memory.
    Behind,
}

/// A length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    Right,
    Is(i32),
}

/// An address: its number in the table of them, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub at: u8,
    pub port: u16,
    pub len: Len,
    pub pointer: Pointer,
}

/// How data is spread over memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In how many pieces.
    pub pieces: u8,
    /// What is said instead of how many they are.
    pub told: Option<u64>,
    /// Where the list of pieces is.
    pub list: Pointer,
    /// Where the data of the last piece is.
    pub data: Pointer,
}

/// What a control message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// RDMA_ARGS: how many pieces of local memory, the bytes of the remote one, flags.
    Args {
        pieces: u64,
        bytes: u64,
        flags: u64,
        list: Pointer,
        data: Pointer,
    },
    /// RDMA_DEST
    Dest(u64),
    /// RDMA_MAP: memory, and where its cookie goes to.
    Map {
        bytes: u64,
        flags: u64,
        data: Pointer,
        cookie: Pointer,
    },
    /// The four atomic operations.
    Atomic { local: Pointer, flags: u64 },
    /// ZCOPY_COOKIE
    Cookie(u32),
    /// So many bytes of anything but pointers.
    Junk(u8),
}

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cmsg {
    pub level: i32,
    pub kind: i32,
    pub data: Data,
    /// What is said instead of its length.
    pub len: Option<u64>,
}

/// Control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    pub all: [Option<Cmsg>; 3],
    pub pointer: Pointer,
    /// What is said instead of their length.
    pub len: Option<u64>,
}

/// Which call sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `write`, `read`
    Plain,
    /// `sendto`, `recvfrom`
    Named,
    /// `sendmsg`, `recvmsg`
    Message,
    /// `sendmmsg`, `recvmmsg`: with so many.
    Many(u8),
}

/// Sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    pub place: Place,
    pub form: Form,
    /// The number of the message in the stock.
    pub message: u8,
    pub to: Option<Name>,
    pub cut: Cut,
    pub control: Control,
    pub header: Pointer,
    pub flags: i32,
}

/// Receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    pub place: Place,
    pub form: Form,
    pub room: u32,
    pub cut: Cut,
    pub name: Option<Pointer>,
    pub name_len: Len,
    pub control: u16,
    pub control_at: Pointer,
    pub header: Pointer,
    pub flags: i32,
}

/// What an option is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Int(i32),
    Name(Name),
    /// Seconds, and microseconds.
    Time(i64, i64),
    /// FREE_MR: a cookie, and flags.
    Free(u64, u64),
    /// GET_MR, or GET_MR_FOR_DEST with an address.
    Memory {
        bytes: u64,
        flags: u64,
        data: Pointer,
        cookie: Pointer,
        to: Option<Name>,
    },
    /// RXPATH_LATENCY
    Trace([u8; 4]),
    /// A filter that takes all of a message or nothing.
    Filter {
        takes: bool,
        code: Pointer,
    },
    /// So many bytes of anything but pointers.
    Junk(u8),
}

/// A request of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Nop,
    Send {
        message: u8,
        flags: i32,
        copy: bool,
    },
    Receive {
        room: u32,
        flags: i32,
    },
    SendMessage {
        message: u8,
        to: Option<Name>,
        flags: i32,
    },
    ReceiveMessage {
        room: u32,
        flags: i32,
    },
    Read {
        room: u32,
    },
    Write {
        message: u8,
    },
    Accept,
    Connect(Name),
    Poll {
        events: u32,
        again: bool,
    },
    PollRemove,
    Cancel,
    CancelAll,
    Shutdown(u8),
    Close,
}

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    pub seed: u64,
    pub steps: u16,
    /// It has a network namespace of its own, and hands a socket out of it.
    pub net: bool,
    /// It is killed, after so many microseconds.
    pub killed: Option<u16>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A socket: of RDS, or of another family where one of RDS should be.
    Socket {
        place: Place,
        family: Option<i32>,
        kind: i32,
        protocol: i32,
    },
    /// A socket of another family, for what takes any.
    Other {
        place: Place,
        family: i32,
        kind: i32,
    },
    Bind(Place, Name),
    Connect(Place, Name),
    /// The own name or the peer's.
    Name {
        place: Place,
        peer: bool,
        len: i32,
        name: Pointer,
        len_at: Pointer,
    },
    Send(Send),
    Receive(Receive),
    Set {
        place: Place,
        level: i32,
        name: i32,
        value: Value,
        len: Len,
        pointer: Pointer,
    },
    Get {
        place: Place,
        level: i32,
        name: i32,
        len: i32,
        pointer: Pointer,
        len_at: Pointer,
    },
    Ioctl {
        place: Place,
        request: u32,
        value: i32,
        pointer: Pointer,
    },
    Poll {
        places: [Place; 4],
        count: u8,
        events: i16,
        timeout: i32,
        pointer: Pointer,
    },
    Select {
        places: [Place; 4],
        timeout: u16,
        pointer: Pointer,
    },
    EpollCreate(Place),
    EpollCtl {
        epoll: Place,
        op: i32,
        place: Place,
        events: u32,
        pointer: Pointer,
    },
    EpollWait {
        epoll: Place,
        count: i32,
        timeout: i32,
        pointer: Pointer,
    },
    Dup(Place, Place),
    Close(Place),
    Shutdown(Place, i32),
    Listen(Place),
    Accept(Place, Pointer),
    SetFlags(Place, i32),
    SetOwner(Place),
    /// Hands a file to whoever takes it.
    Give(Place),
    /// Takes a file that somebody handed out.
    Take(Place),
    Pipes,
    /// Puts a message of the stock into the pipe of what is to be sent.
    Fill(u8),
    Splice {
        from: Place,
        to: Place,
        len: u32,
        flags: u32,
    },
    Tee(u32),
    Vmsplice(u8),
    /// A file of so many pages.
    File(u8),
    Sendfile {
        to: Place,
        offset: u32,
        len: u32,
        pointer: Pointer,
    },
    RingOpen,
    RingClose,
    Ring {
        place: Place,
        orders: [Order; 3],
        count: u8,
        flags: u8,
        wait: u8,
    },
    Child(Trip),
    /// The thread goes to a network namespace of its own.
    EnterNet,
    /// The thread comes back.
    LeaveNet,
    Signal {
        thread: u8,
        restart: bool,
    },
    Limit {
        which: i32,
        value: u64,
    },
    /// Reads a file of the kernel's.
    Look(u8),
    /// Writes to a sysctl, the number of a text.
    Tune(u8, u8),
    /// Microseconds.
    Pause(u16),
}
