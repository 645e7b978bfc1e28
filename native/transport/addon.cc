// The addon's entry. Its contract for TypeScript is src/engine/kvm/native.ts.
#include <napi.h>

#include "layout_wrap.h"
#include "transport_wrap.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  revenant::init_transport_wrap(env, exports);
  revenant::init_layout_wrap(env, exports);
  return exports;
}

NODE_API_MODULE(revenant, init)
