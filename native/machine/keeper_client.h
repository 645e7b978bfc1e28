// The client's end of the keeper's socket: leases for the addon's mailbox transport, queries for
// the keeper program's own `--ask`. No N-API, no policy.
#ifndef REVENANT_MACHINE_KEEPER_CLIENT_H
#define REVENANT_MACHINE_KEEPER_CLIENT_H

#include <cstddef>

namespace revenant::machine {

// What a lease consists of. The caller owns the descriptors (close-on-exec).
struct KeeperLease {
  int socket = -1;  // close it to release the lease; POLLIN with 0 bytes or POLLHUP: the machine was lost
  int memory = -1;  // memfd of the machine's memory, the pool from kPoolFileOffset to its end
  int line = -1;    // pipe of the machine's serial line, non-blocking
};

// Leases the vCPU of the keeper that listens at the abstract name (without the leading NUL).
// Returns 0 or a positive errno: ECONNREFUSED no such keeper; EBUSY leased to another client; EACCES the
// listener runs as another user; EPROTO it does not speak this protocol; others from the kernel.
int lease_keeper(const char* name, KeeperLease* lease);

// Sends another request (status or stop) and puts the whole answer, verdict first, into `answer`
// (NUL-terminated, cut to its size). Returns 0 or a positive errno as above; ETIMEDOUT after 10 s.
int ask_keeper(const char* name, char request, char* answer, size_t answer_size);

}  // namespace revenant::machine

#endif
