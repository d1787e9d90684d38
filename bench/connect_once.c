// SPDX-License-Identifier: Apache-2.0
/*
 * A process that joins cgroups, connects once to 127.77.0.1 and exits at once.
 *   once PORT CGROUP...
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f4d0001)};
	char path[4096];

	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++) {
		int file;

		snprintf(path, sizeof(path), "%s/cgroup.procs", argv[i]);
		file = open(path, O_WRONLY);
		if (file < 0 || write(file, "0", 1) != 1)
			return 3;
	}
	to.sin_port = htons(atoi(argv[1]));
	return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to)) ? 4 : 0;
}
