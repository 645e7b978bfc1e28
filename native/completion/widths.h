// Integers by their bits, as descriptions of instructions have them.
#pragma once

#include <cstdint>

namespace revenant::completion {

using U8 = std::uint8_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;
using S8 = std::int8_t;
using S16 = std::int16_t;
using S32 = std::int32_t;
using S64 = std::int64_t;
__extension__ using U128 = unsigned __int128;
__extension__ using S128 = __int128;

}  // namespace revenant::completion
