//! nginx with one worker, for HTTP.

use super::{Peer, text, write};
use crate::{Outcome, place::Place};

pub(super) fn start(peer: &mut Peer, place: &Place) -> Outcome<()> {
    let folder = text(place.folder.path());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/nginx-{kind};\n"))
        .concat();
    let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let config = format!(
        "{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr error;\n\
         worker_processes 1;\n\
         events {{ worker_connections 19000; multi_accept on; }}\n\
         http {{\n{temporary}  access_log off;\n  keepalive_timeout 600s;\n\
         \x20 keepalive_requests 1000000000;\n\
         \x20 upstream origin {{ server {}; keepalive 512; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {} backlog=4096;\n    location / {{\n\
         \x20     proxy_pass http://origin;\n      proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n\
         \x20   }}\n  }}\n}}\n",
        place.origin.http, peer.target
    );
    let path = write(place, "nginx.conf", &config)?;
    let program = place.programs.nginx.as_deref().map(text).unwrap_or_default();
    let words = [program.as_str(), "-p", &folder, "-e", "stderr", "-c", &path];
    peer.spawn(place, words.map(str::to_owned).to_vec())
}
