//! Which network has the pod's default route of each IP family, in the kernel: the plan says which one is asked for.

pub(super) mod settle;
