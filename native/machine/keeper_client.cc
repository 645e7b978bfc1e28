#include "keeper_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "keeper_protocol.h"

namespace revenant::machine {
namespace {

constexpr time_t kAskSeconds = 10;

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

// Receives the answer's first byte and its descriptors.
int receive_grant(int socket_fd, int (&fds)[2]) {
  char text[512];
  iovec part = {text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
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
    memcpy(fds, CMSG_DATA(header), std::min(sizeof fds, static_cast<size_t>(header->cmsg_len - CMSG_LEN(0))));
  }
  if (text[0] == kRefused) return EBUSY;
  return text[0] == kGranted && fds[0] >= 0 && fds[1] >= 0 ? 0 : EPROTO;
}

// Connects to a keeper of the same user and sends a request. Returns 0 and the socket, or an errno.
int send_request(const char* name, char request, int* socket_fd) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = connect_abstract(fd, name);
  if (error == 0) error = check_peer_user(fd);
  if (error == 0 && send(fd, &request, 1, MSG_NOSIGNAL) != 1) error = errno;
  if (error != 0) {
    close(fd);
    return error == EPIPE || error == ECONNRESET ? ECONNREFUSED : error;
  }
  *socket_fd = fd;
  return 0;
}

}  // namespace

int lease_keeper(const char* name, KeeperLease* lease) {
  int fd = -1;
  int error = send_request(name, kRequestLease, &fd);
  if (error != 0) return error;
  int fds[2] = {-1, -1};
  error = receive_grant(fd, fds);
  if (error != 0) {
    for (const int each : fds)
      if (each >= 0) close(each);
    close(fd);
    return error == ECONNRESET ? ECONNREFUSED : error;
  }
  lease->socket = fd;
  lease->memory = fds[0];
  lease->line = fds[1];
  return 0;
}

int ask_keeper(const char* name, char request, char* answer, size_t answer_size) {
  int fd = -1;
  const int error = send_request(name, request, &fd);
  if (error != 0) return error;
  const timeval patience = {kAskSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  size_t length = 0;
  ssize_t count = 1;
  while (length + 1 < answer_size && count != 0) {
    count = recv(fd, answer + length, answer_size - 1 - length, 0);
    if (count < 0 && errno != EINTR) break;
    if (count > 0) length += static_cast<size_t>(count);
  }
  close(fd);
  answer[length] = '\0';
  if (length > 0) return 0;
  return count < 0 ? ETIMEDOUT : ECONNREFUSED;
}

}  // namespace revenant::machine
