// SPDX-License-Identifier: GPL-2.0

//! What was closed can't be used any more.

use krdma::work::{
    Job,
    Work, //
};

/// Would ask for work of a job that is gone.
pub fn wake<T: Work>(job: Job<T>) {
    job.close();
    job.wake(); //~ E0382
}
