//! The way to the gateway: what is believed, what is kept, what is refused; and who one is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use crate::gateway::TOKEN;
use crate::{Said, World};

/// Without the variables of the way.
fn bare(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.env_remove("WFS_URL").env_remove("WFS_TOKEN").env_remove("WFS_WORKSPACE");
    command
}

#[test]
fn whoami_and_doctor_say_what_there_is() {
    let world = World::new();
    let address = world.gateway.url().replace("http://", "");
    world.wfs(&["whoami"]).ended(0).prints(
        &format!(
            "user:      jane\ngroups:    a, b\nworkspace: <none>\ngateway:   {address} (version 0.1.0)\n"
        )
        .replace("<none>", "team-a"),
    );
    world.wfs(&["whoami", "-o", "json"]).ended(0).says(r#""user":"jane""#);
    let said = world.wfs(&["doctor"]).ended(0);
    for line in [
        "ok    token: you are jane",
        "ok    workspace: team-a, with 2 file systems",
        "ok    file system default: Ready",
        "ok    file system default, your rights: you may read, write, delete",
        "ok    file system more, your rights: you may read, write, and not delete",
        "note  local storage scratch: NotReady: n2 has no disk",
    ] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    let mut command = world.command(&["doctor"]);
    command.env("WFS_TOKEN", "wrong");
    Said::by(command).ended(1).says("BAD   token: the token is not known");
}

#[test]
fn another_interface_and_what_is_no_gateway_are_told() {
    let world = World::new();
    world.gateway.told().api = 2;
    world.storage(&["ls"]).ended(1).complains("get a newer wfs");
    world.gateway.told().api = 0;
    world.storage(&["ls"]).ended(1).complains("have the gateway upgraded");
    assert!(
        world.gateway.seen().iter().all(|request| request == "GET /wfs/v1/version"),
        "nothing else was sent"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut command = world.command(&["storage", "ls"]);
    command.env("WFS_URL", nobody);
    Said::by(command).ended(1).complains("cannot reach the gateway 127.0.0.1");
}

#[test]
fn no_token_goes_out_in_clear_text_or_to_nobody() {
    let world = World::new();
    for (url, why) in [
        ("http://files.example.com", "https only"),
        ("files.example.com", "no address of a gateway"),
        ("https://me:pw@files.example.com", "no user and no password"),
    ] {
        let mut command = world.command(&["storage", "ls"]);
        command.env("WFS_URL", url);
        let said = Said::by(command).ended(2).complains(why);
        assert!(!said.stderr.contains("pw"), "{}", said.stderr);
    }
    let mut command = world.command(&["storage", "ls"]);
    command.env_remove("WFS_TOKEN");
    Said::by(command).ended(2).complains("set WFS_TOKEN");
    let mut command = world.command(&["storage", "ls"]);
    command.env_remove("WFS_WORKSPACE");
    Said::by(command).ended(2).complains("which workspace?");
    let mut command = world.command(&["storage", "ls", "--ca", "nowhere.pem"]);
    command.env("WFS_URL", "https://127.0.0.1:1");
    Said::by(command).ended(1).complains("cannot read the authorities in nowhere.pem");
}

#[test]
fn a_login_is_kept_for_its_user_alone_and_forgotten() {
    let world = World::new();
    let url = world.gateway.url();
    let mut command = bare(&world, &["login", &url, "-n", "team-a"]);
    command.env("WFS_TOKEN", "wrong");
    Said::by(command).ended(1).complains("the token is not known");
    let mut command = bare(&world, &["login", &url, "-n", "team-a"]);
    command.env("WFS_TOKEN", TOKEN);
    Said::by(command).ended(0).says("logged in as jane");
    let file = world.path("home/.config/workspacefs/login.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    world.gateway.write("x", "");
    Said::by(bare(&world, &["storage", "ls"])).ended(0).prints("x\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    Said::by(bare(&world, &["storage", "ls"])).ended(1).complains("others may read it");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    Said::by(bare(&world, &["logout"])).ended(0).prints("logged out\n");
    Said::by(bare(&world, &["storage", "ls"])).ended(1).complains("neither WFS_URL, nor a login");
}

#[test]
fn the_variables_of_lep_lead_there_too() {
    let world = World::new();
    world.gateway.write("x", "");
    let mut command = bare(&world, &["storage", "ls"]);
    command
        .env("LEPTON_WORKSPACE_URL", format!("{}/api/v2/workspaces/team-a", world.gateway.url()))
        .env("LEPTON_WORKSPACE_ID", "ignored")
        .env("LEPTON_WORKSPACE_TOKEN", TOKEN);
    Said::by(command).ended(0).prints("x\n");
    let mut command = bare(&world, &["storage", "ls"]);
    command
        .env("LEPTON_WORKSPACE_URL", format!("{}/api/v1", world.gateway.url()))
        .env("LEPTON_WORKSPACE_ID", format!("team-a:{TOKEN}"));
    Said::by(command).ended(0).prints("x\n");
}

#[test]
fn tables_are_as_kubectl_prints_them() {
    let world = World::new();
    world.wfs(&["get", "fs"]).ended(0).prints(
        "NAME                KIND      NODE GROUP   CAPACITY   USED   AVAILABLE    HEALTH   FILES   RIGHTS\n\
         default (default)   managed   <none>       1.00 TiB   5 B    512.00 GiB   Ready    Ready   read,write,delete\n\
         more                managed   <none>       1.00 TiB   ?      512.00 GiB   Ready    Ready   read,write\n",
    );
    world.wfs(&["get", "lst"]).ended(0).prints(
        "NAME      NODE GROUP   MEDIA   NODES   CAPACITY   HEALTH     MESSAGE\n\
         scratch   gpu          SSD     1/2     1.00 TiB   NotReady   n2 has no disk\n",
    );
    world.wfs(&["get", "cache"]).ended(0).prints(
        "NAME   SOURCE    TARGET    PHASE   PROGRESS   SIZE   AS OF                  HEALTH\n\
         warm   default   scratch   Ready   <none>     5 B    2026-01-01T00:00:00Z   Ready\n",
    );
    let said = world.wfs(&["get", "fs", "more", "-o", "json"]).ended(0);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (value.as_array().unwrap().len(), &value[0]["localCache"]),
        (1, &json!(false)),
        "what we do not know, too"
    );
    world.wfs(&["get", "lst", "-o", "yaml"]).ended(0).says("nodeGroup: gpu");
    world.wfs(&["get", "cache", "cold"]).ended(1).complains("there is no cold");
    world.storage(&["ls-file-system", "-o", "json"]).ended(0).says(r#""name":"default""#);
}
