// Drivers of floating-point instructions: each active element by a function of the environment and the
// operands.
#pragma once

#include "float.h"
#include "row.h"

namespace revenant::completion {

// Ends packed and scalar instructions alike: a scalar's other elements come from `rest`.
inline bool finish_float(Operation& op, const Environment& env, const Vector& result, const Vector& rest,
                         bool scalar) {
  if (!env.commit(op)) return false;
  return scalar ? op.finish_scalar(result, rest) : op.finish(result);
}

// function(environment, a) -> bits. A scalar form has two sources: the rest comes from the first.
template <class F, auto function, bool scalar>
bool float_unary(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b, result;
  if (scalar && !op.load(1, a)) return false;
  if (!op.load(scalar ? 2 : 1, b)) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++)
    if (op.active(i)) result.set<Bits>(i, function(env, b.get<Bits>(i), op.immediate()));
  return finish_float(op, env, result, a, scalar);
}

// function(environment, a, b, immediate) -> bits.
template <class F, auto function, bool scalar>
bool float_binary(Operation& op) {
  using Bits = typename F::Bits;
  Vector a, b, result;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Environment env(op);
  for (unsigned i = 0; i < op.count(); i++)
    if (op.active(i)) result.set<Bits>(i, function(env, a.get<Bits>(i), b.get<Bits>(i), op.immediate()));
  return finish_float(op, env, result, a, scalar);
}

#define FLOAT_ROW(name, function, width, flags) \
  { ZYDIS_MNEMONIC_##name, function, width, flags }
// Packed and scalar rows of an instruction that has all of half, single and double.
#define FLOAT_SIX(name, driver, function)                                        \
  FLOAT_ROW(name##PH, (driver<Half, function<Half>, false>), 2, 0),              \
      FLOAT_ROW(name##PS, (driver<Single, function<Single>, false>), 4, 0),      \
      FLOAT_ROW(name##PD, (driver<Double, function<Double>, false>), 8, 0),      \
      FLOAT_ROW(name##SH, (driver<Half, function<Half>, true>), 2, kScalar),     \
      FLOAT_ROW(name##SS, (driver<Single, function<Single>, true>), 4, kScalar), \
      FLOAT_ROW(name##SD, (driver<Double, function<Double>, true>), 8, kScalar)
// Of one that has no half.
#define FLOAT_FOUR(name, driver, function)                                       \
  FLOAT_ROW(name##PS, (driver<Single, function<Single>, false>), 4, 0),          \
      FLOAT_ROW(name##PD, (driver<Double, function<Double>, false>), 8, 0),      \
      FLOAT_ROW(name##SS, (driver<Single, function<Single>, true>), 4, kScalar), \
      FLOAT_ROW(name##SD, (driver<Double, function<Double>, true>), 8, kScalar)

}  // namespace revenant::completion
