#include "keeper_client.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "keeper_protocol.h"

namespace revenant::machine {
namespace {

int connect_abstract(int socket_fd, const char* name) {
  sockaddr_un address = {};
  const size_t length = strlen(name);
  if (length == 0 || length > sizeof address.sun_path - 1) return EINVAL;
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name, length);
  const socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  int result;
  do {
    result = connect(socket_fd, reinterpret_cast<sockaddr*>(&address), size);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

int check_peer_user(int socket_fd) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return errno;
  return peer.uid == geteuid() ? 0 : EACCES;
}

// Receives the answer's first byte and the descriptor that comes with it.
int receive_grant(int socket_fd, int* pool) {
  char text[512];
  iovec part = {text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t count;
  do {
    count = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno;
  if (count == 0) return ECONNREFUSED;  // the keeper was about to end
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    memcpy(pool, CMSG_DATA(header), sizeof *pool);
  }
  if (text[0] == kRefused) return EBUSY;
  return text[0] == kGranted && *pool >= 0 ? 0 : EPROTO;
}

}  // namespace

int lease_keeper(const char* name, KeeperLease* lease) {
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return errno;
  int pool = -1;
  int error = connect_abstract(socket_fd, name);
  if (error == 0) error = check_peer_user(socket_fd);
  if (error == 0 && send(socket_fd, &kRequestLease, 1, MSG_NOSIGNAL) != 1) error = errno;
  if (error == 0) error = receive_grant(socket_fd, &pool);
  if (error != 0) {
    if (pool >= 0) close(pool);
    close(socket_fd);
    return error == EPIPE || error == ECONNRESET ? ECONNREFUSED : error;
  }
  lease->socket = socket_fd;
  lease->pool = pool;
  return 0;
}

}  // namespace revenant::machine
