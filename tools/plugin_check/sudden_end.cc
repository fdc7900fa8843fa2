#include "tools/plugin_check/sudden_end.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace mortise {
namespace {

std::atomic<const char*> current_step{"loading"};
std::atomic<bool> is_expected{false};

// Async-signal-safe: one write() each.
void say(const char* text) {
  if (::write(STDERR_FILENO, text, ::strlen(text)) < 0) return;
}

void say_end(const char* how) {
  say("the plugin ended the process by ");
  say(how);
  say(", at: ");
  say(current_step);
  say("\n");
}

void on_crash(int number) {
  say_end(number == SIGABRT ? "abort()" : "a crash");
  ::raise(number);  // The handler is gone by now, so this is the crash again.
}

void on_exit() {
  if (is_expected) return;
  say_end("exit()");
  ::_exit(1);
}

}  // namespace

void watch_for_sudden_end() {
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    struct sigaction action {};
    // A sanitizer has its own handlers, which say more.
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = on_crash;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    ::sigaction(number, &action, nullptr);
  }
  std::atexit(on_exit);
}

void note_step(const char* step) { current_step = step; }

void expect_end() { is_expected = true; }

}  // namespace mortise
