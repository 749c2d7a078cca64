/* pelton.c: the one file to compile beside a transform. Its parts are compiled as one, so that the reader, the fields and
 * the writer become one loop. */

#include "src/memory.c"
#include "src/format.c"
#include "src/error.c"
#include "src/text.c"
#include "src/decimal.c"
#include "src/time.c"
#include "src/array.c"
#include "src/json.c"
#include "src/msgpack.c"
#include "src/field.c"
#include "src/source.c"
#include "src/out.c"
#include "src/settings.c"
#include "src/state_codec.c"
#include "src/state.c"
#include "src/runner.c"
#ifdef __wasm__
#include "src/guest.c"
#endif
