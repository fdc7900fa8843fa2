// Writes what is derived from the table of options, when the project is built: manual pages and the
// completion of the shell. So neither says anything else than --help.
//
//   mortise-manual mortised.1 | mortise.yaml.5 | completion
#include <cstdio>
#include <string>
#include <string_view>

#include "host/config/config.h"
#include "host/config/feature_gates.h"
#include "host/config/options.h"

namespace mortise::packaging {
namespace {

using config::Group;
using config::Kind;
using config::Option;
using config::Support;

// Text in which nothing is taken for a request or an escape.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (out.empty() && (c == '.' || c == '\'')) {
      out += "\\&" + std::string(1, c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string_view value_name(Kind kind) {
  switch (kind) {
    case Kind::kBool: return "";
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kUint32: return "number";
    case Kind::kDuration: return "duration";
    case Kind::kUrls: return "url,...";
    case Kind::kOrigins:
    case Kind::kList:
    case Kind::kSet:
    case Kind::kHostSet: return "value,...";
    case Kind::kGates: return "name=bool,...";
    case Kind::kOptions: return "key=value,...";
    default: return "value";
  }
}

std::string_view file_type(Kind kind) {
  switch (kind) {
    case Kind::kBool: return "true or false";
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kUint32: return "a number";
    case Kind::kDuration: return "nanoseconds";
    case Kind::kList:
    case Kind::kSet: return "a list";
    case Kind::kOptions: return "a map";
    default: return "a string";
  }
}

std::string notes(const Option& option) {
  std::string out;
  if (!option.default_text.empty()) {
    out += "Default: \\fB" + roff(option.default_text) + "\\fR.\n";
  }
  switch (option.support) {
    case Support::kEffective: break;
    case Support::kNotYet: out += "Refused in this version: " + roff(option.note) + ".\n"; break;
    case Support::kNoEffect: out += "Without effect: " + roff(option.note) + ".\n"; break;
  }
  return out;
}

std::string heading(std::string_view page, std::string_view section, std::string_view manual) {
  return ".\\\" Written by mortise-manual from the table of options.\n.TH " + std::string(page) +
         " " + std::string(section) + " \"\" \"mortise " + std::string(config::kMortiseVersion) +
         "\" \"" + std::string(manual) + "\"\n";
}

template <typename Wanted, typename Entry>
std::string by_groups(Wanted wanted, Entry entry) {
  std::string out;
  Group last = Group::kIgnored;
  for (const Option& option : config::options()) {
    if (option.group == Group::kIgnored || !wanted(option)) continue;
    if (option.group != last) out += ".SS " + roff(config::group_title(option.group)) + "\n";
    last = option.group;
    out += entry(option);
  }
  return out;
}

std::string flag_entry(const Option& option) {
  const std::string_view value = value_name(option.kind);
  std::string out = ".TP\n\\fB\\-\\-" + roff(option.name) + "\\fR";
  if (!value.empty()) out += "=\\fI" + roff(value) + "\\fR";
  out += "\n" + roff(option.help) + "\n" + notes(option);
  if (option.name != "feature-gates") return out;
  out += "The gates are:\n";
  for (const std::string& gate : config::describe_feature_gates()) {
    out += ".br\n" + roff(gate) + "\n";
  }
  return out;
}

constexpr std::string_view kServerHead = R"(.SH NAME
mortised \- key\-value server that speaks the etcd v3 API
.SH SYNOPSIS
.B mortised
.RI [ flags ]
.br
.B mortised \-\-config\-file
.I file
.SH DESCRIPTION
One member of a cluster that keeps keys and values, consistent over all members, and serves them to
clients of etcd. Names, syntax and defaults of the flags are those of etcd 3.7; the group Plugins is
this server's own. It runs in the foreground and logs to standard error.
.PP
.B \-x
and
.B \-\-x
are the same, as are
.BI \-\-x= value
and
.BI \-\-x " value"\fR;
a flag that is true or false is
.B \-\-x
or
.BR \-\-x=false .
Durations are written like
.BR 1h2m3.5s .
.SH OPTIONS
)";

constexpr std::string_view kServerTail = R"(.SH ENVIRONMENT
Each flag can be given as a variable:
.B ETCD_
and the flag in capitals with underscores, as in
.BR ETCD_LISTEN_CLIENT_URLS ;
the group Plugins also as
.BR MORTISE_BACKEND
and so on. A flag that is given both ways stops the start. With a configuration file flags and
variables are ignored.
.TP
.B NOTIFY_SOCKET\fR, \fBWATCHDOG_USEC
Set by systemd, which is told when clients are served and, while the server works, that it does.
.SH SIGNALS
.TP
.B SIGTERM\fR, \fBSIGINT
Leadership is handed over, calls under way get their answers, and the process ends by the same
signal; as process 1 with code 0. Before the member has started the signal ends it at once.
.SH EXIT STATUS
.TP
.B 0
The member was removed from its cluster.
.TP
.B 1
A value that cannot work, or an error from which the member cannot go on; the last line of the log
says which.
.TP
.B 2
A mistake in the syntax of a flag.
.SH FILES
.TP
.I /etc/mortise/mortise.yaml
The configuration that the service of the package uses.
.TP
.I /var/lib/mortise
Its data.
.TP
.I /usr/lib/mortise/plugins
Storage engines, transports and the index of watches.
.SH SEE ALSO
.BR mortise.yaml (5),
.BR mortise\-plugin\-check (1),
.BR mortise\-bench (1),
.BR systemd.service (5)
)";

std::string server_page() {
  return heading("MORTISED", "1", "User Commands") + std::string(kServerHead) +
         by_groups(config::is_flag, flag_entry) + std::string(kServerTail);
}

constexpr std::string_view kFileHead = R"(.SH NAME
mortise.yaml \- configuration file of mortised
.SH SYNOPSIS
.B mortised \-\-config\-file
.I /etc/mortise/mortise.yaml
.SH DESCRIPTION
A file in YAML or JSON with the keys that etcd's configuration file has. When it is used, flags and
variables of the environment are ignored. A dot in a name below stands for a map in the file. Lists
of URLs are one string with commas; durations are whole numbers of nanoseconds. A key that is not
known stops the start, which names the key and its line; keys of etcd's past are ignored with a line
in the log.
.PP
Plugins can be given as one map instead of by their own keys:
.PP
.nf
.RS
plugins:
  dir: /opt/plugins
  backend:
    name: lmdb
    options: {resident_limit: 134217728}
  transports:
  \- name: grpc
.RE
.fi
.SH KEYS
)";

constexpr std::string_view kFileTail = R"(.SH EXAMPLE
One of three members:
.PP
.nf
.RS
name: a
data\-dir: /var/lib/mortise
listen\-peer\-urls: http://10.0.0.1:2380
initial\-advertise\-peer\-urls: http://10.0.0.1:2380
listen\-client\-urls: http://10.0.0.1:2379,http://127.0.0.1:2379
advertise\-client\-urls: http://10.0.0.1:2379
initial\-cluster: a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380
initial\-cluster\-state: new
.RE
.fi
.SH SEE ALSO
.BR mortised (1)
)";

std::string file_page() {
  const auto wanted = [](const Option& option) { return !option.yaml.empty(); };
  const auto entry = [](const Option& option) {
    return ".TP\n\\fB" + roff(option.yaml) + "\\fR (" + std::string(file_type(option.kind)) +
           ")\n" + roff(option.help) + "\n" + notes(option);
  };
  return heading("MORTISE.YAML", "5", "File Formats") + std::string(kFileHead) +
         by_groups(wanted, entry) + std::string(kFileTail);
}

// Flags, and files behind those that take one.
std::string completion() {
  std::string flags;
  for (const Option& option : config::options()) {
    if (!config::is_flag(option) || option.group == Group::kIgnored) continue;
    flags += (flags.empty() ? "--" : " --") + std::string(option.name);
  }
  return "# bash completion for mortised; written by mortise-manual from the table of options.\n"
         "_mortised() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]}\n"
         "  case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"" +
         flags +
         "\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _mortised mortised\n";
}

int run(std::string_view what) {
  std::string text;
  if (what == "mortised.1") text = server_page();
  if (what == "mortise.yaml.5") text = file_page();
  if (what == "completion") text = completion();
  if (text.empty()) {
    std::fputs("usage: mortise-manual mortised.1 | mortise.yaml.5 | completion\n", stderr);
    return 2;
  }
  return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mortise::packaging

int main(int argc, char** argv) { return mortise::packaging::run(argc == 2 ? argv[1] : ""); }
