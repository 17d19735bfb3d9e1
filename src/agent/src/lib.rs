//! The agent: PID 1 of the initramfs, and the appliance command of the running node.
