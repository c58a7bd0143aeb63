// SPDX-License-Identifier: GPL-2.0

//! What system calls on a socket do: each is passed on to the module that does it (spec-sockets).

use super::{
    bind,
    directory::Bound,
    notify,
    options,
    receive,
    send,
    sndbuf,
    tenant::Tenant,
    Locked,
    Socket, //
};
use core::mem;
use kernel::{
    list::List,
    prelude::*,
    sync::atomic::ordering::Relaxed,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use krdma::{
    net::{
        pernet,
        Events,
        Family,
        Name,
        NameIn,
        Namespace,
        Open,
        OptionIn,
        OptionOut,
        RecvMsg,
        Request,
        SendMsg,
        Sock, //
    },
    user, //
};
use rds_proto::{
    account::RecvAccount,
    uapi::AF_RDS, //
};

krdma::family_slot!(Socket);

#[vtable]
impl Family for Socket {
    const NAME: &'static CStr = c"RDS";

    type Shared = pernet::Registration<Tenant>;

    fn taken(number: u8) {
        if number == AF_RDS {
            pr_err!(
                "address family {number} is taken, most likely by the kernel's own RDS: unload that (rmmod rds_rdma rds_tcp rds), or choose another number (family=)\n"
            );
        } else {
            pr_err!("address family {number} is taken: choose another number (family=)\n");
        }
    }

    fn create(
        tenants: &Self::Shared,
        ns: &Namespace,
        request: &Request,
    ) -> Result<(impl PinInit<Self, Error>, Locked)> {
        if request.kind != Request::SEQPACKET || request.protocol != 0 {
            return Err(ESOCKTNOSUPPORT);
        }
        let tenant = tenants.get(ns).ok_or(EAFNOSUPPORT)?;
        let (space, directory) = (tenant.space.clone(), tenant.directory.clone());
        // The kernel has it made by any task.
        let landlord = match request.kernel {
            true => None,
            false => user::namespace_owner(),
        };
        let this = Self::new(space, directory, landlord);

        Ok((this, Locked::default()))
    }

    fn created(sock: &Sock<Self>) -> Result {
        let this = sock.data();

        let maker = this.landlord.unwrap_or_else(|| sock.owner());
        this.maker.store(maker, Relaxed);
        this.directory.sockets.enter(sock, &this.listed)
    }

    fn release(sock: &Sock<Self>) {
        let this = sock.data();
        // The way is let go of with the rest.
        let Locked { bound, .. } = mem::take(&mut *sock.lock());

        let (queue, freed) = {
            let mut receives = this.receives.lock();
            receives.dead = true;
            let queue = mem::replace(&mut receives.queue, List::new());
            receives.account = RecvAccount::default();
            receives.monitor.set(false);
            receives.tracing = None;
            // Before another socket can have the port.
            let mut port = receives.port.take();
            let changed = port.as_mut().is_some_and(|port| port.set(false));
            (queue, port.filter(|_| changed))
        };
        drop(queue);

        this.directory.sockets.leave(&this.listed);
        this.directory.watchers.leave(&this.watching);
        this.directory.crowd.leave(&this.crowded);
        let held = bound.map(Bound::unbind);
        if let Some(port) = freed {
            let (addr, mask) = port.at();
            this.space.map_changed(addr, mask);
        }
        notify::detach(sock);
        send::close(sock);
        send::cancel(sock, None);
        if let Some(regions) = this.rdma.as_ref() {
            regions.close();
        }
        // Last: what the socket had on its ways has come back.
        drop(held);
    }

    fn bind(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        bind::bind(sock, name)
    }

    fn connect(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        bind::connect(sock, name)
    }

    fn name(sock: &Open<'_, Self>, peer: bool) -> Result<Name> {
        bind::name(sock, peer)
    }

    fn send(sock: &Open<'_, Self>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
        send::send(sock, msg, len)
    }

    fn receive(sock: &Open<'_, Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        receive::receive(sock, msg)
    }

    fn poll(sock: &Open<'_, Self>) -> Events {
        let this = sock.data();
        let mut events = Events::NONE;

        if this.sends.lock().is_writable(sndbuf(sock)) && !this.is_in_crowd() {
            events |= Events::OUT | Events::WRNORM;
        }

        let has_cookies =
            !this.lends.is_empty() || this.rdma.as_ref().is_some_and(|rdma| rdma.has_notices());
        let mut receives = this.receives.lock();
        if receives.is_readable() || has_cookies {
            events |= Events::IN | Events::RDNORM;
        }
        if mem::take(&mut receives.updated) {
            events |= Events::IN | Events::RDNORM | Events::WRBAND;
        }
        events
    }

    fn ioctl(sock: &Open<'_, Self>, cmd: u32, arg: usize) -> Result<i32> {
        const SET_TOS: u32 = 0x89e0;
        const GET_TOS: u32 = 0x89e1;
        let user = || UserSlice::new(UserPtr::from_addr(arg), 1);

        match cmd {
            SET_TOS => {
                let tos = user().reader().read::<u8>()?;
                let mut locked = sock.lock();
                let transport = locked.transport.as_ref();
                let tos = transport
                    .and_then(|transport| transport.service(tos))
                    .ok_or(ENOIOCTLCMD)?;
                if locked.tos != 0 || locked.last.is_some() {
                    return Err(EINVAL);
                }
                locked.tos = tos;
                Ok(0)
            }
            GET_TOS => {
                let tos = sock.lock().tos;
                user().writer().write(&tos)?;
                Ok(0)
            }
            _ => Err(ENOIOCTLCMD),
        }
    }

    fn set_option(sock: &Open<'_, Self>, level: i32, name: i32, value: OptionIn<'_>) -> Result {
        options::set(sock, level, name, value)
    }

    fn option(
        sock: &Open<'_, Self>,
        level: i32,
        name: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<i32> {
        options::get(sock, level, name, value)
    }
}
