// The JavaScript object around a Transport.
#ifndef REVENANT_KVM_TRANSPORT_WRAP_H_
#define REVENANT_KVM_TRANSPORT_WRAP_H_

#include <napi.h>

namespace revenant {

// Adds openHost and openMailbox to the exports.
void init_transport_wrap(Napi::Env env, Napi::Object exports);

}  // namespace revenant

#endif
