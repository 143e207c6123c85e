################################################################################
#
# autochroot
#
################################################################################

AUTOCHROOT_VERSION = 0.3.0
AUTOCHROOT_SITE = https://static.crates.io/crates/autochroot/$(AUTOCHROOT_VERSION)/download?archive=
AUTOCHROOT_LICENSE = MIT or Apache-2.0
AUTOCHROOT_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
AUTOCHROOT_CARGO_BUILD_OPTS = --no-default-features --features userns,files,failfs,landlock,hints
AUTOCHROOT_CARGO_INSTALL_OPTS = $(AUTOCHROOT_CARGO_BUILD_OPTS)

$(eval $(cargo-package))
