/* pelton_test.c: the test harness. Its parts: the fake host (what a transform asks of Pelton), the changes, the rows. */

#include "pelton_test.h"
#include "src/internal.h"

#include "src/testing/words.c"
#include "src/testing/destination.c"
#include "src/testing/harness.c"
