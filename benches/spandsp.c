/* spandsp's DTMF receiver over WAV files, for benches/compare.sh and the tests of calls. Never part
 * of the build.
 *
 * spandsp < LIST            of WAV files, one a line: grades those that have a FILE.txt beside them
 *                           (tests/dtmf/suite.rs writes both), counts keys in the others
 * spandsp --once N          hears N seconds of noise, for callgrind
 * spandsp --time N          the same, timed
 */
#include <spandsp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRAME = 160, MOST = 4096 };

static double now_ms;
static struct { char digit; double at; } heard[MOST];
static int heard_count;

static void on_digits(void *user, const char *digits, int len)
{
    (void) user;
    for (int i = 0; i < len && heard_count < MOST; i++) {
        heard[heard_count].digit = digits[i];
        heard[heard_count++].at = now_ms;
    }
}

static void hear(const int16_t *samples, long count)
{
    dtmf_rx_state_t *rx = dtmf_rx_init(NULL, on_digits, NULL);
    heard_count = 0;
    now_ms = 0;
    for (long at = 0; at < count; at += FRAME) {
        long n = count - at < FRAME ? count - at : FRAME;
        now_ms = (at + n) / 8.0;
        dtmf_rx(rx, samples + at, (int) n);
    }
    dtmf_rx_free(rx);
}

static long valid, invalid, missed, wrong, doubled, accepted, plain_keys;
static double plain_hours;

static void grade(FILE *truth)
{
    char used[MOST] = {0};
    char key;
    double start, length;
    int is_valid;
    while (fscanf(truth, " %c %lf %lf %d", &key, &start, &length, &is_valid) == 4) {
        int count = 0;
        for (int i = 0; i < heard_count; i++) {
            /* It has no start times: a report belongs to a press from 10 ms after it began until
               35 ms after its end, rounded up to a frame. */
            if (used[i] || heard[i].at < start + 10 || heard[i].at > start + length + 55)
                continue;
            if (count == 0 || heard[i].digit == key) {
                used[i] = 1;
                count++;
                if (is_valid && heard[i].digit != key)
                    wrong++;
            }
        }
        if (is_valid) {
            valid++;
            missed += count == 0;
            doubled += count > 1 ? count - 1 : 0;
        } else {
            invalid++;
            accepted += count;
        }
    }
    for (int i = 0; i < heard_count; i++)
        accepted += !used[i];
}

static void rustle(int seconds, int timed)
{
    static int16_t samples[8000];
    uint32_t state = 1;
    for (int i = 0; i < 8000; i++) {
        state = state * 1664525u + 1013904223u;
        samples[i] = (int16_t) ((int) (state >> 20) - 2048);
    }
    double best = 1e9;
    for (int s = 0; s < seconds; s++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        hear(samples, 8000);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / 8000;
        if (ns < best)
            best = ns;
    }
    if (timed)
        printf("spandsp: %.2f ns a sample at 8 kHz (best of %d)\n", best, seconds);
}

int main(int argc, char **argv)
{
    if (argc == 3 && argv[1][0] == '-') {
        rustle(atoi(argv[2]), strcmp(argv[1], "--time") == 0);
        return 0;
    }
    char path[4096];
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = 0;
        FILE *file = fopen(path, "rb");
        if (!file)
            continue;
        static int16_t samples[8000 * 3600];
        unsigned char head[44];
        if (fread(head, 1, 44, file) != 44 || head[24] != 0x40 || head[25] != 0x1f) {
            fclose(file);
            continue; /* not 8 kHz */
        }
        long count = (long) fread(samples, 2, 8000 * 3600, file);
        fclose(file);
        hear(samples, count);
        char *dot = strrchr(path, '.');
        FILE *truth = NULL;
        if (dot && strcmp(dot, ".wav") == 0) {
            char name[4104];
            snprintf(name, sizeof name, "%.*s.txt", (int) (dot - path), path);
            truth = fopen(name, "r");
        }
        if (truth) {
            grade(truth);
            fclose(truth);
        } else {
            plain_keys += heard_count;
            plain_hours += count / 8000.0 / 3600.0;
        }
    }
    if (valid + invalid)
        printf("spandsp, sent keys: %ld valid: %ld missed, %ld wrong, %ld doubled; %ld invalid: %ld "
               "accepted\n", valid, missed, wrong, doubled, invalid, accepted);
    if (plain_hours > 0)
        printf("spandsp, speech: %ld keys in %.2f h\n", plain_keys, plain_hours);
    return 0;
}
