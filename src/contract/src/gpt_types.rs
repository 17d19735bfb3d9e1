//! GPT partition type GUIDs (UEFI 2.10, 5.3.3), in their textual form.

/// The config partition. A random GUID, generated for this project.
pub const CONFIG: &str = "6f9a1b52-3c8e-4d07-a1f4-5b0c9e72d3a8";

/// `/var`, from the Discoverable Partitions Specification (UAPI.2).
pub const VAR: &str = "4d21b016-b534-45c2-a9fb-5c16e091fd2d";

/// The EFI system partition.
pub const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
