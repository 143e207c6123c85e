{ lib, rustPlatform, installShellFiles }:

rustPlatform.buildRustPackage {
  pname = "autochroot";
  version = "0.3.0";
  src = lib.cleanSource ../../..;
  cargoLock.lockFile = ../../../Cargo.lock;

  buildNoDefaultFeatures = true;
  buildFeatures = [ "userns" "files" "failfs" "landlock" "hints" ];
  doCheck = false; # the sandbox of Nix refuses what the tests try
  doInstallCheck = true;
  installCheckPhase = "$out/bin/autochroot --version";

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    installManPage src/bin/autochroot/autochroot.1
    installShellCompletion src/bin/autochroot/autochroot.{bash,zsh,fish}
  '';

  meta = {
    description = "Run a static program in an empty root directory";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "autochroot";
    platforms = lib.platforms.unix;
  };
}
