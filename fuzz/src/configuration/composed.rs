//! Files as people write them, from pieces: bytes that are changed at random seldom are a whole file.
//!
//! Each byte of an input stands for one piece, so an engine that changes bytes moves, doubles and
//! drops pieces.

/// Pieces of files. `@` is the name of the server at hand; a piece that opens one has a new name.
const PIECES: [&str; 40] = [
    "[servers.@]\ncommand = \"x\"\n",
    "[servers.@]\ncommand = 'x' # why\nscope = \"global\"\n",
    "  [ servers . \"@\" ]\n  command = \"x\"\n",
    "[servers.@]\n\ncommand = \"\"\"\n# no comment\n\n[servers.no]\n\"\"\"\n",
    "[servers.@]\nargs = [\n  \"a\", # b\n\n  # [servers.no]\n  \"c\",\n]\ncommand = \"x\"\n",
    "servers.@.command = \"x\"\n",
    "servers.@ = { command = \"x\", args = [\"a\"] }\n",
    "[servers]\n",
    "@.command = \"x\"\n",
    "@ = { command = \"x\" }\n",
    "[servers.@.env]\n",
    "[servers.@.env] # of it\nA = \"${B:-c}\"\n",
    "K = \"v\"\n",
    "\"K.x\" = '$${'\n",
    "M = '''\nline\n# line\n'''\n",
    "env.A = \"b\"\n",
    "env = { A = \"b\", \"c.d\" = \"\" }\n",
    "env_pass = [\"AWS_*\"]\n",
    "args = []\n",
    "args = [\"a b\", 'c']\n",
    "cwd = \"${workspace}\"\n",
    "scope = \"session\"\n",
    "idle_timeout = \"never\"\n",
    "client_capabilities = [\"roots\", \"elicitation.url\"]\n",
    "asks = \"session\"\n",
    "[limits]\n",
    "sessions = 5\n",
    "sessions = 5 # five\n",
    "limits.message_bytes = \"64 MiB\"\n",
    "request_timeout = \"1h\"\n",
    "# loose\n",
    "# about @\n",
    "# [servers.no]\n",
    "#\n",
    "  # far in\n",
    "\t\n",
    "\n",
    "\n\n",
    "\n# apart\n\n",
    "# ä \u{1f600}\n",
];

/// How many of the pieces open a server.
const OPENINGS: usize = 10;

/// Most servers of one file; later ones have names that were there.
const SERVERS_MAX: u8 = 6;

/// The file that these bytes describe; the first one says how its lines end.
pub(super) fn file(input: &[u8]) -> String {
    let Some((form, pieces)) = input.split_first() else {
        return String::new();
    };
    let mut text = String::new();
    let mut servers = 0;
    for byte in pieces {
        let index = usize::from(*byte) % PIECES.len();
        let piece = PIECES[index];
        if index < OPENINGS && piece.contains('@') {
            servers = (servers + 1).min(SERVERS_MAX);
        }
        let name = char::from(b'a' + servers);
        text.push_str(&piece.replace('@', name.encode_utf8(&mut [0; 4])));
    }
    if form & 1 != 0 {
        text = text.replace('\n', "\r\n");
    }
    if form & 2 != 0 {
        text.truncate(text.trim_end().len());
    }
    text
}
