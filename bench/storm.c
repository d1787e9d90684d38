// SPDX-License-Identifier: Apache-2.0
/*
 * Makes exactly N loopback connects from T threads to P listening ports and prints them with the time taken.
 *   storm CONNECTS THREADS PORTS [CONNECTS_PER_SECOND [COUNTS_FILE]]
 * A rate of 0 means as fast as possible. COUNTS_FILE, of 64 bytes per thread, holds how many connects each has made so far.
 * The listeners are at 127.77.0.1, which distinguishes the storm's connects from any others on the machine.
 * Every connect is accepted and both ends are closed by reset, so that no port is held in TIME_WAIT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS 4096
#define MAX_THREADS 64
#define STORM_ADDRESS 0x7f4d0001 /* 127.77.0.1 */

static int listeners[MAX_PORTS];
static struct sockaddr_in addresses[MAX_PORTS];
static long total, threads, ports, rate;
static struct timespec started;
/* One cache line per thread. */
static struct count {
	volatile long connects;
	long pad[7];
} in_memory[MAX_THREADS], *counts = in_memory;

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Wait until the connect of this number is due; return immediately if it is late. */
static void wait_for(long number)
{
	long long due_ns = started.tv_sec * 1000000000LL + started.tv_nsec + number * 1000000000LL / rate;
	struct timespec due = {.tv_sec = due_ns / 1000000000LL, .tv_nsec = due_ns % 1000000000LL};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void *run(void *argument)
{
	long thread = (long)argument;
	static pthread_mutex_t per_port[MAX_PORTS];

	for (long i = thread; i < total; i += threads) {
		int port = i % ports;
		int client, server;

		if (rate)
			wait_for(i);
		client = socket(AF_INET, SOCK_STREAM, 0);
		if (client < 0)
			die("socket");
		pthread_mutex_lock(&per_port[port]);
		if (connect(client, (struct sockaddr *)&addresses[port], sizeof(addresses[port])))
			die("connect");
		server = accept(listeners[port], NULL, NULL);
		pthread_mutex_unlock(&per_port[port]);
		if (server < 0)
			die("accept");
		reset(client);
		reset(server);
		counts[thread].connects++;
	}
	return NULL;
}

static void share_counts_in(const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (file < 0 || ftruncate(file, sizeof(in_memory)))
		die(path);
	counts = mmap(NULL, sizeof(in_memory), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (counts == MAP_FAILED)
		die(path);
	close(file);
}

int main(int argc, char **argv)
{
	struct timespec ended;
	struct rlimit files = {.rlim_cur = 8192, .rlim_max = 8192};
	pthread_t workers[MAX_THREADS];
	double seconds;

	if (argc < 4 || argc > 6) {
		fprintf(stderr, "usage: storm CONNECTS THREADS PORTS [CONNECTS_PER_SECOND [COUNTS_FILE]]\n");
		return 2;
	}
	total = atol(argv[1]);
	threads = atol(argv[2]);
	ports = atol(argv[3]);
	rate = argc > 4 ? atol(argv[4]) : 0;
	if (total < 1 || rate < 0 || threads < 1 || threads > MAX_THREADS || ports < 1 || ports > MAX_PORTS) {
		fprintf(stderr, "storm: expected CONNECTS >= 1, THREADS 1 to %d, PORTS 1 to %d\n", MAX_THREADS,
			MAX_PORTS);
		return 2;
	}
	if (argc == 6)
		share_counts_in(argv[5]);
	setrlimit(RLIMIT_NOFILE, &files);
	for (long i = 0; i < ports; i++) {
		socklen_t length = sizeof(addresses[i]);

		addresses[i].sin_family = AF_INET;
		addresses[i].sin_addr.s_addr = htonl(STORM_ADDRESS);
		listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (listeners[i] < 0 || bind(listeners[i], (struct sockaddr *)&addresses[i], sizeof(addresses[i])) ||
		    listen(listeners[i], 128) || getsockname(listeners[i], (struct sockaddr *)&addresses[i], &length))
			die("listen");
	}
	clock_gettime(CLOCK_MONOTONIC, &started);
	for (long i = 0; i < threads; i++)
		pthread_create(&workers[i], NULL, run, (void *)i);
	for (long i = 0; i < threads; i++)
		pthread_join(workers[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	seconds = (ended.tv_sec - started.tv_sec) + (ended.tv_nsec - started.tv_nsec) / 1e9;
	printf("{\"pid\": %d, \"connects\": %ld, \"seconds\": %.6f, \"perSecond\": %.0f, \"firstPort\": %d}\n", getpid(),
	       total, seconds, total / seconds, ntohs(addresses[0].sin_port));
	return 0;
}
