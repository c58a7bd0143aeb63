// SPDX-License-Identifier: GPL-2.0

//! Reports every RDMA device that comes and goes, in the manner of `ibv_devinfo -v`.
//!
//! To try it:
//!
//! ```sh
//! modprobe rdma_rxe
//! insmod krdma.ko
//! insmod rdma_devinfo.ko
//! rdma link add rxe0 type rxe netdev eth0
//! dmesg | grep rdma_devinfo
//! rdma link delete rxe0
//! rmmod rdma_devinfo krdma
//! ```

use core::pin::Pin;
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::Relaxed,
        Atomic, //
    },
};
use krdma::rdma::{
    client::Registration,
    Client,
    Device,
    Port, //
};

module! {
    type: DevInfoModule,
    name: "rdma_devinfo",
    authors: ["The krdma developers"],
    description: "Reports RDMA devices that come and go",
    license: "GPL",
}

#[pin_data]
struct DevInfoModule {
    #[pin]
    client: Registration<DevInfo>,
}

impl kernel::InPlaceModule for DevInfoModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            client <- Registration::new(module, DevInfo {
                added: Atomic::new(0),
                removed: Atomic::new(0),
            }),
        })
    }
}

/// The client: counts what it has seen.
struct DevInfo {
    added: Atomic<u64>,
    removed: Atomic<u64>,
}

krdma::client_slot!(DevInfo);

impl Client for DevInfo {
    const NAME: &'static CStr = c"rdma_devinfo";

    /// Nothing is kept for a device.
    type Data = ();

    fn add(&self, dev: &Device) -> impl PinInit<(), Error> {
        self.added.fetch_add(1, Relaxed);
        report_device(dev);
        for port in dev.ports() {
            if let Err(err) = report_port(port) {
                pr_warn!("{}: port {}: {:?}\n", dev.name(), port.number(), err);
            }
        }
        Ok(())
    }

    fn remove(&self, dev: &Device, _data: Pin<&()>) {
        self.removed.fetch_add(1, Relaxed);
        pr_info!("{}: removed\n", dev.name());
    }
}

// Runs when the registration is gone, so every device that was added has been removed.
impl Drop for DevInfo {
    fn drop(&mut self) {
        pr_info!(
            "{} added, {} removed\n",
            self.added.load(Relaxed),
            self.removed.load(Relaxed)
        );
    }
}

fn report_device(dev: &Device) {
    let attr = dev.attributes();

    pr_info!("hca_id:\t{}\n", dev.name());
    pr_info!("\ttransport:\t\t{}\n", dev.node_type().transport());
    pr_info!("\tfw_ver:\t\t\t{}\n", dev.firmware_version());
    pr_info!("\tnode_guid:\t\t{}\n", dev.node_guid());
    pr_info!("\tsys_image_guid:\t\t{}\n", attr.sys_image_guid());
    pr_info!("\tvendor_id:\t\t0x{:06x}\n", attr.vendor_id());
    pr_info!("\tvendor_part_id:\t\t{}\n", attr.vendor_part_id());
    pr_info!("\thw_ver:\t\t\t0x{:x}\n", attr.hw_ver());
    pr_info!("\tmax_mr_size:\t\t0x{:x}\n", attr.max_mr_size());
    pr_info!("\tpage_size_cap:\t\t0x{:x}\n", attr.page_size_cap());
    pr_info!("\tmax_qp:\t\t\t{}\n", attr.max_qp());
    pr_info!("\tmax_qp_wr:\t\t{}\n", attr.max_qp_wr());
    pr_info!("\tmax_sge:\t\t{}\n", attr.max_send_sge());
    pr_info!("\tmax_cq:\t\t\t{}\n", attr.max_cq());
    pr_info!("\tmax_cqe:\t\t{}\n", attr.max_cqe());
    pr_info!("\tmax_mr:\t\t\t{}\n", attr.max_mr());
    pr_info!("\tmax_pd:\t\t\t{}\n", attr.max_pd());
    pr_info!("\tmax_qp_rd_atom:\t\t{}\n", attr.max_qp_rd_atom());
    pr_info!("\tatomic_cap:\t\t{}\n", attr.atomic_capability());
    pr_info!("\tmax_srq:\t\t{}\n", attr.max_srq());
    pr_info!("\tmax_srq_wr:\t\t{}\n", attr.max_srq_wr());
    pr_info!("\tnum_comp_vectors:\t{}\n", dev.completion_vectors());
    pr_info!("\tphys_port_cnt:\t\t{}\n", dev.ports().count());
}

fn report_port(port: Port<'_>) -> Result {
    let attr = port.query()?;

    pr_info!("\t\tport:\t{}\n", port.number());
    pr_info!("\t\t\tstate:\t\t\t{}\n", attr.state());
    pr_info!("\t\t\tmax_mtu:\t\t{}\n", attr.max_mtu());
    pr_info!("\t\t\tactive_mtu:\t\t{}\n", attr.active_mtu());
    pr_info!("\t\t\tsm_lid:\t\t\t{}\n", attr.sm_lid());
    pr_info!("\t\t\tport_lid:\t\t{}\n", attr.lid());
    pr_info!("\t\t\tport_lmc:\t\t0x{:02x}\n", attr.lmc());
    pr_info!("\t\t\tlink_layer:\t\t{}\n", port.link_layer());
    pr_info!("\t\t\tmax_msg_sz:\t\t0x{:x}\n", attr.max_message_size());
    pr_info!("\t\t\tgid_tbl_len:\t\t{}\n", attr.gid_table_len());
    for entry in port.gids(attr.gid_table_len()) {
        match entry.netdev() {
            Some(netdev) => pr_info!(
                "\t\t\tGID[{:3}]:\t\t{}, {}, {}\n",
                entry.index(),
                entry.gid(),
                entry.gid_type(),
                netdev
            ),
            None => pr_info!(
                "\t\t\tGID[{:3}]:\t\t{}, {}\n",
                entry.index(),
                entry.gid(),
                entry.gid_type()
            ),
        }
    }
    pr_info!("\t\t\tpkey_tbl_len:\t\t{}\n", attr.pkey_table_len());
    for index in 0..attr.pkey_table_len() {
        let pkey = port.pkey(index)?;

        if pkey.is_valid() {
            pr_info!("\t\t\tpkey[{:3}]:\t\t{}\n", index, pkey);
        }
    }
    Ok(())
}
