// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that a driver starts and waits for.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use crate::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

/// What a [`Thread`] does.
pub trait Worker: Send + Sync + 'static {
    /// Runs in the thread, once. It must return soon after the owner of the [`Thread`] has asked
    /// it to, in a way the two agree on, because dropping the [`Thread`] waits for that.
    fn run(&self);
}

/// A kernel thread. Dropping it waits until the thread has ended.
///
/// # Invariants
///
/// `task` is a thread made by [`spawn`](Self::spawn), of which this value owns a reference, and
/// which was not stopped yet. Its argument is a pointer to the value that `worker` keeps alive.
pub struct Thread<T: Worker> {
    task: NonNull<bindings::task_struct>,
    _worker: Arc<T>,
}

// SAFETY: A thread may be stopped from any other one, and `T` is `Send` and `Sync`.
unsafe impl<T: Worker> Send for Thread<T> {}
// SAFETY: There are no methods that take `&self`.
unsafe impl<T: Worker> Sync for Thread<T> {}

impl<T: Worker> Thread<T> {
    /// Starts a thread that runs `worker`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR` when the caller was killed meanwhile.
    pub fn spawn(name: &CStr, worker: Arc<T>) -> Result<Self> {
        // SAFETY: `main` takes a pointer to `T`, which lives as long as the thread: `Self` keeps
        // it until the thread has ended. The name is formatted by "%s".
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(Self::main),
                Arc::as_ptr(&worker).cast_mut().cast(),
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        let task = NonNull::new(task).ok_or(ENOMEM)?;

        // SAFETY: The thread does not run yet, so the task is valid; this reference keeps it so.
        unsafe { bindings::get_task_struct(task.as_ptr()) };
        // SAFETY: As above.
        unsafe { bindings::wake_up_process(task.as_ptr()) };

        // INVARIANT: Made just now; the reference was taken above.
        Ok(Self {
            task,
            _worker: worker,
        })
    }

    /// # Safety
    ///
    /// `data` must point to a `T` that outlives the thread.
    unsafe extern "C" fn main(data: *mut c_void) -> c_int {
        // SAFETY: `spawn()` passed a pointer to a `T`, which `Thread` keeps until the thread ended.
        let worker = unsafe { &*data.cast::<T>() };
        worker.run();
        0
    }
}

impl<T: Worker> Drop for Thread<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The function waits for the thread, or finds it ended.
        unsafe { bindings::kthread_stop(self.task.as_ptr()) };
        // SAFETY: We own a reference by the type invariant and do not use it afterwards.
        unsafe { bindings::put_task_struct(self.task.as_ptr()) };
    }
}

/// Lets the scheduler run another task, as long loops that never sleep have to.
pub fn cond_resched() {
    crate::task::might_sleep();
    // SAFETY: We may sleep here.
    unsafe { bindings::cond_resched() };
}
