// The protocol between clients and the keeper of an emulated machine. Shared by keeper.cc and
// keeper_client.cc; MachineStatus in src/machine/keeper-client.ts must match the answer to 'S'.
//
// The keeper listens on an abstract unix stream socket, so no file exists. A client sends one request
// byte; the answer is one byte, '+' or '-', and one line of JSON text. Both sides check by SO_PEERCRED
// that the other runs as the same user.
//
//   'L'  lease of the vCPU. '+' comes with two file descriptors (SCM_RIGHTS): of the machine's memory
//        (machine_area.h), and of its serial line, where a byte wakes or interrupts it. The connection IS the
//        lease: it ends when the client's end is closed, for any reason. '-' when another client has it.
//        Delayed while the machine is made clean after the previous lease.
//   'S'  status: '+'
//   {"pid":..,"qemuPid":..,"cpu":..,"poolBytes":..,"state":"queued|starting|idle|leased|cleaning",
//        "seconds": in that state,"client": pid or 0,"idleSeconds":..}
//   'X' stop: '+' {}, sent when the emulator has exited; then the keeper exits. 'I' the same unless
//   it is leased, waited for or being started: then '-' and its status.
#ifndef REVENANT_MACHINE_KEEPER_PROTOCOL_H
#define REVENANT_MACHINE_KEEPER_PROTOCOL_H

namespace revenant::machine {

inline constexpr char kRequestLease = 'L';
inline constexpr char kRequestStatus = 'S';
inline constexpr char kRequestStop = 'X';
inline constexpr char kRequestStopIdle = 'I';
inline constexpr char kGranted = '+';
inline constexpr char kRefused = '-';

}  // namespace revenant::machine

#endif
