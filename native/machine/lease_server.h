// The keeper's socket: requests and their answers. See keeper_protocol.h.
#ifndef REVENANT_MACHINE_LEASE_SERVER_H
#define REVENANT_MACHINE_LEASE_SERVER_H

#include <sys/types.h>
#include <initializer_list>
#include <string>
#include <vector>

namespace revenant::machine {

// One accepted connection.
struct Peer {
  int fd = -1;
  pid_t pid = 0;
  char request = 0;  // 0 until its request byte arrives
};

// Owns the listening socket and all connections but the lease's, which it hands out.
class LeaseServer {
 public:
  LeaseServer() = default;
  LeaseServer(const LeaseServer&) = delete;
  LeaseServer& operator=(const LeaseServer&) = delete;
  ~LeaseServer();

  // Binds the abstract name. Returns 0, or EADDRINUSE if another keeper has it, or another errno.
  int listen_at(const std::string& name);
  // Releases the name; the connections stay.
  void stop_listening();
  int fd() const { return fd_; }
  const std::vector<Peer>& peers() const { return peers_; }

  // Accepts all waiting connections; those of other users are closed.
  void accept_all();
  // Reads available request bytes; removes peers that hung up.
  void read_requests();

  // Removes a peer with this request from the list; false if there is none. The caller owns its fd.
  bool take(char request, Peer* peer);
  // Whether a peer with this request waits.
  bool has(char request) const;

 private:
  int fd_ = -1;
  std::vector<Peer> peers_;
};

// A stream socket bound to an abstract name, not listening yet; or -errno.
int bind_abstract(const std::string& name);

// Sends one answer line, with descriptors where there are any. False if the peer has hung up.
bool send_answer(int fd, char verdict, const std::string& json, std::initializer_list<int> pass_fds = {});

// Text as a JSON string with quotes; bytes that are not printable ASCII become '?', newlines \n.
std::string json_string(const std::string& text);

}  // namespace revenant::machine

#endif
