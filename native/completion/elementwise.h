// Instructions that compute each element of the destination from the elements at the same place of the
// sources.
#pragma once

#include "row.h"

namespace revenant::completion {

template <class T, auto function>
bool unary(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, static_cast<T>(function(a.get<T>(i))));
  return op.finish(result);
}

template <class T, auto function>
bool binary(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, static_cast<T>(function(a.get<T>(i), b.get<T>(i))));
  return op.finish(result);
}

// The destination is the first operand: function(destination, first source, second source).
template <class T, auto function>
bool ternary(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  const Vector& old = op.old();
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, static_cast<T>(function(old.get<T>(i), a.get<T>(i), b.get<T>(i))));
  return op.finish(result);
}

// function(source, immediate).
template <class T, auto function>
bool with_immediate(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  Vector result;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    result.set<T>(i, static_cast<T>(function(a.get<T>(i), op.immediate())));
  return op.finish(result);
}

// A comparison whose result is a mask: function(first, second).
template <class T, auto function>
bool test(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < op.length() / sizeof(T); i++)
    if (function(a.get<T>(i), b.get<T>(i))) bits |= 1ull << i;
  return op.finish_mask(bits);
}

// The function gets the whole vectors: function(result, first, second, operation).
template <auto function>
bool whole(Operation& op) {
  Vector a, b;
  if (!op.load(1, a) || !op.load(2, b)) return false;
  Vector result;
  function(result, a, b, op);
  return op.finish(result);
}

// The same with one source.
template <auto function>
bool whole_unary(Operation& op) {
  Vector a;
  if (!op.load(1, a)) return false;
  Vector result;
  function(result, a, op);
  return op.finish(result);
}

// Repeats for each 128-bit lane: function(result, first, second, index of the lane's first element of type
// T).
template <class T, auto function>
bool lanes(Operation& op) {
  return whole<[](Vector& result, const Vector& a, const Vector& b, Operation& o) {
    for (unsigned base = 0; base < o.length() / sizeof(T); base += 16 / sizeof(T))
      function(result, a, b, base, o);
  }>(op);
}

}  // namespace revenant::completion
