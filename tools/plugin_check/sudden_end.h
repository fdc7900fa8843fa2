// Says so when a plugin ends the process by itself: by a crash, which goes on to be one, or by
// exit(), which must not pass for success, so the process ends with 1.
//
// For main() alone, from its thread.
#pragma once

namespace mortise {

// From here on, until expect_end().
void watch_for_sudden_end();
// What is being done, for the line that is written; text that lives as long as the process.
void note_step(const char* step);
// The process is about to end in order.
void expect_end();

}  // namespace mortise
