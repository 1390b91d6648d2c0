/* libmosquitto on one thread, under the loads of src/mqtt.rs. */
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOW = 100, PAYLOAD = 64 };

static long done, received, connected, subscribed;

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void on_connect(struct mosquitto *m, void *o, int rc) { connected = rc == 0; }
static void on_publish(struct mosquitto *m, void *o, int mid) { done++; }
static void on_subscribe(struct mosquitto *m, void *o, int mid, int n, const int *qos) { subscribed = 1; }
static void on_message(struct mosquitto *m, void *o, const struct mosquitto_message *message) { received++; }

static void step(struct mosquitto *m) {
  int rc = mosquitto_loop(m, 1000, 1);
  if (rc) {
    fprintf(stderr, "%s\n", mosquitto_strerror(rc));
    exit(1);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static long resident(void) {
  char line[256];
  long kb = 0;
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  while (fgets(line, sizeof line, file)) sscanf(line, "Rss: %ld", &kb);
  fclose(file);
  return kb * 1024;
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: libmosquitto PORT publish|receive|rtt QOS COUNT [TOPIC]\n");
    return 2;
  }
  const char *mode = argv[2], *topic = argc > 5 ? argv[5] : "bench/x";
  int qos = atoi(argv[3]);
  long count = atol(argv[4]);
  char payload[PAYLOAD], id[64];
  memset(payload, 'x', PAYLOAD);
  snprintf(id, sizeof id, "bench-libmosquitto%s", mode);

  mosquitto_lib_init();
  struct mosquitto *m = mosquitto_new(id, true, NULL);
  mosquitto_connect_callback_set(m, on_connect);
  mosquitto_publish_callback_set(m, on_publish);
  mosquitto_subscribe_callback_set(m, on_subscribe);
  mosquitto_message_callback_set(m, on_message);
  mosquitto_max_inflight_messages_set(m, WINDOW);
  mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
  if (mosquitto_connect(m, "127.0.0.1", atoi(argv[1]), 60)) return 1;
  while (!connected) step(m);
  if (strcmp(mode, "publish")) {
    mosquitto_subscribe(m, NULL, topic, qos);
    while (!subscribed) step(m);
  }

  double *trips = NULL;
  if (!strcmp(mode, "receive")) {
    puts("ready");
    fflush(stdout);
    while (!received) step(m);
  }
  double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  if (!strcmp(mode, "publish")) {
    long asked = 0;
    while (done < count) {
      while (asked < count && asked - done < WINDOW) {
        if (mosquitto_publish(m, NULL, topic, PAYLOAD, payload, qos, false)) return 1;
        asked++;
      }
      if (done < count) step(m);
    }
  } else if (!strcmp(mode, "receive")) {
    while (received < count) step(m);
  } else {
    trips = calloc(count, sizeof *trips);
    for (long i = 0; i < count; i++) {
      double start = seconds(CLOCK_MONOTONIC);
      if (mosquitto_publish(m, NULL, topic, PAYLOAD, payload, qos, false)) return 1;
      while (received <= i) step(m);
      trips[i] = seconds(CLOCK_MONOTONIC) - start;
      while (done <= i) step(m);
    }
  }
  wall = seconds(CLOCK_MONOTONIC) - wall;
  cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  double p50 = 0, p99 = 0;
  if (trips) {
    qsort(trips, count, sizeof *trips, compare);
    p50 = trips[count / 2] * 1e6;
    p99 = trips[count * 99 / 100] * 1e6;
  }
  printf("{\"count\": %ld, \"wall\": %.6f, \"cpu\": %.6f, \"resident\": %ld, \"trips\": [%.3f, %.3f]}\n",
         count, wall, cpu, resident(), p50, p99);
  return 0;
}
