/*
 * A stand-in for iphlpapi.dll: the documented functions for the port and for addresses, and
 * controls that make them behave in every way the documentation leaves open, or badly.
 *
 * One source for Linux (cc -shared -fPIC -pthread) and Windows (mingw-w64). Callbacks
 * come from native threads that Python has never seen. Always, and on purpose: handles
 * are above 2^32, the upper bits of small arguments hold garbage, and the handle is
 * written last, as garbage if there is an error. No lock is held while a callback runs,
 * as CancelMibChangeNotify2 must be able to wait for it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#define EXPORT __declspec(dllexport)
typedef SRWLOCK mutex_t;
typedef CONDITION_VARIABLE cond_t;
#define MUTEX_INIT SRWLOCK_INIT
#define COND_INIT CONDITION_VARIABLE_INIT
#define lock(m) AcquireSRWLockExclusive(m)
#define unlock(m) ReleaseSRWLockExclusive(m)
#define wait(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define wake(c) WakeAllConditionVariable(c)
#define pause_briefly() Sleep(0)
static void pause_for(int64_t ns) { Sleep((DWORD)((ns + 999999) / 1000000)); }
/* The clock of time.perf_counter_ns(). */
static int64_t now(void)
{
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&ticks);
    return (int64_t)((double)ticks.QuadPart * 1e9 / (double)frequency.QuadPart);
}
typedef HANDLE thread_t;
#define THREAD_FUNC static DWORD WINAPI
#define THREAD_RETURN return 0
static void thread_start(thread_t *t, LPTHREAD_START_ROUTINE f, void *a)
{
    *t = CreateThread(NULL, 0, f, a, 0, NULL);
}
static void thread_join(thread_t t)
{
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
#else
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#define EXPORT __attribute__((visibility("default")))
#define WINAPI
typedef uint32_t DWORD;
typedef uint16_t USHORT;
typedef uint8_t BOOLEAN;
typedef void *PVOID, *HANDLE;
#define NO_ERROR 0
#define ERROR_INVALID_PARAMETER 87
#define ERROR_IO_PENDING 997
#define ERROR_NOT_FOUND 1168
typedef pthread_mutex_t mutex_t;
typedef pthread_cond_t cond_t;
#define MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define COND_INIT PTHREAD_COND_INITIALIZER
#define lock(m) pthread_mutex_lock(m)
#define unlock(m) pthread_mutex_unlock(m)
#define wait(c, m) pthread_cond_wait(c, m)
#define wake(c) pthread_cond_broadcast(c)
#define pause_briefly() usleep(20)
static void pause_for(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}
/* The clock of time.perf_counter_ns(). */
static int64_t now(void)
{
#ifdef __APPLE__
    return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
#endif
}
typedef pthread_t thread_t;
#define THREAD_FUNC static void *
#define THREAD_RETURN return NULL
static void thread_start(thread_t *t, void *(*f)(void *), void *a)
{
    if (pthread_create(t, NULL, f, a))
        abort();
}
static void thread_join(thread_t t) { pthread_join(t, NULL); }
#endif

#if UINTPTR_MAX > 0xffffffffu
/* Both 64-bit conventions pass these in registers: the callee must ignore the rest. */
typedef void(WINAPI *callback_t)(PVOID, uint64_t, uint64_t);
#define GARBAGE 0xDEAD0BAD00000000u
#define HANDLE_BASE ((uintptr_t)0x7A5500000000u)
#else
typedef void(WINAPI *callback_t)(PVOID, uintptr_t, int);
#define GARBAGE 0
#define HANDLE_BASE ((uintptr_t)0x40000000u)
#endif

/* The structures of netioapi.h, which no other platform than Windows has. */

enum { IPV6 = 23 }; /* AF_INET6 of Windows */

struct row { /* MIB_UNICASTIPADDRESS_ROW */
    uint16_t family, port;
    uint32_t flow;
    uint8_t address[16];
    uint32_t scope;
    uint64_t luid;
    uint32_t index, prefix_origin, suffix_origin, valid_lifetime, preferred_lifetime;
    uint8_t prefix_length, skip_as_source;
    uint32_t state, row_scope;
    int64_t created;
};

struct table { /* MIB_UNICASTIPADDRESS_TABLE */
    uint32_t count;
    struct row rows[1];
};

typedef void(WINAPI *stable_callback_t)(PVOID, struct table *);

enum { PARAMETER = 0, INITIAL = 3 };
enum { NOTIFY, GET, CANCEL, NOTIFY_ADDRESS, GET_TABLE, NOTIFY_STABLE, FUNCTIONS };
enum { INLINE, OTHER_THREAD, ON_DEMAND };
enum { AT_ONCE, PENDING, PENDING_INLINE };
enum kind { PORT, ADDRESS, STABLE };

struct registration {
    struct registration *next;
    enum kind kind;
    uintptr_t handle;
    callback_t callback;
    PVOID context;
    int in_flight, cancelled, initial_due;
};

static mutex_t mutex = MUTEX_INIT;
static mutex_t serial = MUTEX_INIT; /* callbacks are serialized, unless overlapping */
static cond_t changed = COND_INIT;
static struct registration *registrations;
static struct registration last_cancelled;
static uintptr_t serial_number;
static uint16_t port;
static struct row addresses[64];
static uint32_t address_count;
static DWORD errors[FUNCTIONS];
static int initial_mode, stable_mode, null_handle, callback_before_error;
static int held, firing, resumed;
static long registered, cancelled, misused, called, allocated, freed;

/* The tables that the callee has not freed yet. Each is preceded by its link. */
static struct allocation {
    struct allocation *next;
    struct table table;
} *allocations;

/* Others in a Windows process call FreeMibTable, too, for tables of the real library. */
#ifdef _WIN32
#define allocate(size) HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, size)
#define release(memory) HeapFree(GetProcessHeap(), 0, memory)
#define release_unknown(memory) release(memory)
#else
#define allocate(size) calloc(1, size)
#define release(memory) free(memory)
#define release_unknown(memory) (freed++)
#endif

/* A table of all addresses, with the mutex held. */
static struct table *new_table(void)
{
    struct allocation *a;
    a = allocate(sizeof *a + address_count * sizeof(struct row));
    a->next = allocations;
    allocations = a;
    allocated++;
    a->table.count = address_count;
    memcpy(a->table.rows, addresses, address_count * sizeof(struct row));
    return &a->table;
}

/* Call one registration; the mutex is held before and after, and not meanwhile. */
static void call(struct registration *r, uintptr_t detail, int type)
{
    r->in_flight++;
    called++;
    wake(&changed);
    unlock(&mutex);
    if (r->kind == STABLE)
        ((stable_callback_t)(void *)r->callback)(r->context, (struct table *)detail);
    else
        r->callback(r->context,
                    r->kind == PORT ? detail | GARBAGE | 0xABCD0000u : detail,
                    (unsigned)type | GARBAGE);
    lock(&mutex);
    while (held)
        wait(&changed, &mutex);
    r->in_flight--;
    wake(&changed);
}

/* Call all registrations of a kind, with the mutex held as above. */
static void call_all(enum kind kind, uintptr_t detail, int type)
{
    struct registration *r, *next;
    for (r = registrations; r; r = next) {
        if (r->kind == kind && !r->cancelled) {
            r->in_flight++; /* keeps it in the list */
            call(r, kind == STABLE ? (uintptr_t)new_table() : detail, type);
            r->in_flight--;
            wake(&changed);
        }
        next = r->next;
    }
}

/* The functions. */

THREAD_FUNC initial_thread(void *argument)
{
    lock(&mutex);
    call(argument, 0, INITIAL);
    unlock(&mutex);
    THREAD_RETURN;
}

static struct registration *add(enum kind kind, callback_t callback, PVOID context)
{
    struct registration *r = calloc(1, sizeof *r);
    r->kind = kind;
    r->callback = callback;
    r->context = context;
    r->handle = HANDLE_BASE + 8 * ++serial_number;
    r->next = registrations;
    registrations = r;
    return r;
}

static DWORD notify(enum kind kind, DWORD *errors, callback_t callback, PVOID context,
                    BOOLEAN initial, HANDLE *handle)
{
    struct registration *r;
    thread_t thread;
    DWORD error;
    *handle = NULL;
    if (!callback)
        return ERROR_INVALID_PARAMETER;
    lock(&mutex);
    error = *errors;
    if (error)
        *handle = (HANDLE)HANDLE_BASE;
    if (error && !callback_before_error) {
        unlock(&mutex);
        return error;
    }
    r = add(kind, callback, context);
    r->initial_due = initial;
    if (initial && initial_mode == INLINE) {
        r->initial_due = 0;
        call(r, 0, INITIAL);
    }
    else if (initial && initial_mode == OTHER_THREAD) {
        r->initial_due = 0;
        unlock(&mutex);
        thread_start(&thread, initial_thread, r);
        thread_join(thread);
        lock(&mutex);
    }
    if (error) {
        registrations = r->next;
        free(r);
    }
    else {
        registered++;
        *handle = null_handle ? NULL : (HANDLE)r->handle;
    }
    unlock(&mutex);
    return error;
}

EXPORT DWORD WINAPI NotifyTeredoPortChange(callback_t callback, PVOID context,
                                           BOOLEAN initial, HANDLE *handle)
{
    return notify(PORT, &errors[NOTIFY], callback, context, initial, handle);
}

EXPORT DWORD WINAPI NotifyUnicastIpAddressChange(USHORT family, callback_t callback,
                                                 PVOID context, BOOLEAN initial,
                                                 HANDLE *handle)
{
    if (family != IPV6)
        return ERROR_INVALID_PARAMETER;
    return notify(ADDRESS, &errors[NOTIFY_ADDRESS], callback, context, initial, handle);
}

EXPORT DWORD WINAPI NotifyStableUnicastIpAddressTable(USHORT family, struct table **table,
                                                      stable_callback_t callback,
                                                      PVOID context, HANDLE *handle)
{
    struct registration *r;
    DWORD error;
    if (family != IPV6 || !table || !callback || !handle)
        return ERROR_INVALID_PARAMETER;
    lock(&mutex);
    error = errors[NOTIFY_STABLE];
    if (error)
        *handle = (HANDLE)HANDLE_BASE;
    if (!error && stable_mode == AT_ONCE)
        *table = new_table();
    else if (!error) {
        r = add(STABLE, (callback_t)(void *)callback, context);
        registered++;
        if (stable_mode == PENDING_INLINE)
            call(r, (uintptr_t)new_table(), PARAMETER);
        *handle = null_handle ? NULL : (HANDLE)r->handle;
        error = ERROR_IO_PENDING;
    }
    unlock(&mutex);
    return error;
}

EXPORT DWORD WINAPI GetUnicastIpAddressTable(USHORT family, struct table **table)
{
    DWORD error;
    if (family != IPV6 || !table)
        return ERROR_INVALID_PARAMETER;
    lock(&mutex);
    error = errors[GET_TABLE];
    if (!error && !address_count)
        error = ERROR_NOT_FOUND;
    if (!error)
        *table = new_table();
    unlock(&mutex);
    return error;
}

EXPORT void WINAPI FreeMibTable(void *memory)
{
    struct allocation **link, *a;
    lock(&mutex);
    for (link = &allocations; (a = *link) && memory != &a->table; link = &a->next)
        ;
    if (a) {
        *link = a->next;
        freed++;
        /* A callee that reads the table later finds no Teredo address. */
        memset(a->table.rows, 0xEE, a->table.count * sizeof(struct row));
        release(a);
    }
    else
        release_unknown(memory);
    unlock(&mutex);
}

EXPORT DWORD WINAPI GetTeredoPort(USHORT *result)
{
    DWORD error;
    if (!result)
        return ERROR_INVALID_PARAMETER;
    lock(&mutex);
    error = errors[GET];
    if (!error)
        *result = port;
    unlock(&mutex);
    return error;
}

EXPORT DWORD WINAPI CancelMibChangeNotify2(HANDLE handle)
{
    struct registration **link, *r;
    DWORD error;
    lock(&mutex);
    cancelled++;
    error = errors[CANCEL];
    for (r = registrations; r; r = r->next)
        if (r->handle == (uintptr_t)handle && !r->cancelled)
            break;
    if (!r) {
        misused++;
        error = ERROR_INVALID_PARAMETER;
    }
    if (error) {
        unlock(&mutex);
        return error;
    }
    r->cancelled = 1;
    while (r->in_flight)
        wait(&changed, &mutex);
    for (link = &registrations; *link != r; link = &(*link)->next)
        ;
    *link = r->next;
    last_cancelled = *r;
    free(r);
    unlock(&mutex);
    return NO_ERROR;
}

/* The controls. */

EXPORT void stand_in_reset(void)
{
    struct registration *r;
    lock(&mutex);
    while ((r = registrations)) {
        registrations = r->next;
        free(r);
    }
    port = 0;
    address_count = 0;
    memset(errors, 0, sizeof errors);
    initial_mode = INLINE;
    stable_mode = AT_ONCE;
    null_handle = callback_before_error = held = firing = resumed = 0;
    registered = cancelled = misused = called = allocated = freed = 0;
    wake(&changed);
    unlock(&mutex);
}

EXPORT void stand_in_set_error(int function, DWORD code, int after_the_callback)
{
    lock(&mutex);
    errors[function] = code;
    callback_before_error = after_the_callback;
    unlock(&mutex);
}

EXPORT void stand_in_set_initial(int mode) { initial_mode = mode; }
EXPORT void stand_in_set_stable(int mode) { stable_mode = mode; }
EXPORT void stand_in_set_null_handle(int on) { null_handle = on; }
EXPORT void stand_in_set_port(int number) { port = (uint16_t)number; }
EXPORT long stand_in_registered(void) { return registered; }
EXPORT long stand_in_cancelled(void) { return cancelled; }
EXPORT long stand_in_misused(void) { return misused; }
EXPORT long stand_in_called(void) { return called; }
EXPORT long stand_in_allocated(void) { return allocated; }
EXPORT long stand_in_freed(void) { return freed; }

EXPORT int stand_in_live(void)
{
    struct registration *r;
    int count = 0;
    lock(&mutex);
    for (r = registrations; r; r = r->next)
        count++;
    unlock(&mutex);
    return count;
}

/* Keep callbacks in flight: they return to this library, but not to the system. */
EXPORT void stand_in_hold(int on)
{
    lock(&mutex);
    held = on;
    wake(&changed);
    unlock(&mutex);
}

/* How many registrations have a callback in flight. */
EXPORT int stand_in_in_flight(void)
{
    struct registration *r;
    int count = 0;
    lock(&mutex);
    for (r = registrations; r; r = r->next)
        count += r->in_flight > 0;
    unlock(&mutex);
    return count;
}

struct fire {
    thread_t thread;
    int first, count, overlapping;
};

THREAD_FUNC fire_thread(void *argument)
{
    struct fire *f = argument;
    int i, go_on;
    for (i = 0; f->count < 0 || i < f->count; i++) {
        lock(&mutex);
        go_on = f->count >= 0 || firing;
        unlock(&mutex);
        if (!go_on)
            break;
        if (!f->overlapping)
            lock(&serial);
        lock(&mutex);
        port = (uint16_t)(f->count < 0 ? 1 + i % 65535 : f->first + i);
        call_all(PORT, port, PARAMETER);
        unlock(&mutex);
        if (!f->overlapping)
            unlock(&serial);
        if (f->count < 0)
            pause_briefly(); /* else nobody else would ever have the GIL */
    }
    THREAD_RETURN;
}

static void fire(int first, int count, int threads, int overlapping, struct fire *f)
{
    int i;
    for (i = 0; i < threads; i++) {
        f[i].first = first + i * (count > 0 ? count : 0);
        f[i].count = count;
        f[i].overlapping = overlapping;
        thread_start(&f[i].thread, fire_thread, &f[i]);
    }
}

/* Notify everybody of count ports, first and up, from each of some new threads. */
EXPORT void stand_in_fire(int first, int count, int threads, int overlapping)
{
    struct fire *f = calloc((size_t)threads, sizeof *f);
    int i;
    fire(first, count, threads, overlapping, f);
    for (i = 0; i < threads; i++)
        thread_join(f[i].thread);
    free(f);
}

/* The same for one port, without waiting for the thread: it may be held. */
static struct fire background[16];
static int in_background;

EXPORT void stand_in_start(int first, int count)
{
    if (in_background == 16)
        abort();
    firing = 1;
    fire(first, count, 1, 0, &background[in_background++]);
}

EXPORT void stand_in_join(void)
{
    lock(&mutex);
    firing = 0;
    unlock(&mutex);
    while (in_background)
        thread_join(background[--in_background].thread);
}

/* The initial notification of those that still wait for it, after all else. */
EXPORT void stand_in_fire_initial(void)
{
    struct registration *r;
    thread_t thread;
    for (r = registrations; r; r = r->next)
        if (r->initial_due) {
            r->initial_due = 0;
            thread_start(&thread, initial_thread, r);
            thread_join(thread);
        }
}

THREAD_FUNC late_thread(void *argument)
{
    uintptr_t detail = *(uint16_t *)argument;
    lock(&mutex);
    if (last_cancelled.kind == ADDRESS)
        detail = 0;
    if (last_cancelled.kind == STABLE)
        detail = (uintptr_t)new_table();
    call(&last_cancelled, detail, PARAMETER);
    unlock(&mutex);
    THREAD_RETURN;
}

/*
 * What a system must not do: notify the registration that was cancelled last, of a port, of
 * an unknown address, or of the stable addresses.
 */
EXPORT void stand_in_fire_late(int number)
{
    uint16_t late_port = (uint16_t)number;
    thread_t thread;
    thread_start(&thread, late_thread, &late_port);
    thread_join(thread);
}

/* Addresses. */

/* The machine has these addresses, each of 16 bytes, in these states. Nobody is notified. */
EXPORT void stand_in_set_addresses(int count, const uint8_t *bytes, const int *states)
{
    int i;
    lock(&mutex);
    if (count > (int)(sizeof addresses / sizeof *addresses))
        abort();
    memset(addresses, 0, sizeof addresses);
    for (i = 0; i < count; i++) {
        addresses[i].family = IPV6;
        memcpy(addresses[i].address, bytes + 16 * i, 16);
        addresses[i].index = 7;
        addresses[i].valid_lifetime = addresses[i].preferred_lifetime = 0xFFFFFFFF;
        addresses[i].prefix_length = 64;
        addresses[i].state = (uint32_t)states[i];
    }
    address_count = (uint32_t)count;
    unlock(&mutex);
}

struct address_notification {
    const uint8_t *bytes;
    int type;
};

THREAD_FUNC address_thread(void *argument)
{
    struct address_notification *n = argument;
    struct row row;
    memset(&row, 0xAB, sizeof row); /* a callback may rely on the address only */
    row.family = IPV6;
    if (n->bytes)
        memcpy(row.address, n->bytes, 16);
    lock(&mutex);
    call_all(ADDRESS, n->bytes ? (uintptr_t)&row : 0, n->type);
    unlock(&mutex);
    THREAD_RETURN;
}

/* Notify everybody that this address changed, or an unknown one (NULL). */
EXPORT void stand_in_fire_address(const uint8_t *bytes, int type)
{
    struct address_notification n = {bytes, type};
    thread_t thread;
    thread_start(&thread, address_thread, &n);
    thread_join(thread);
}

THREAD_FUNC stable_thread(void *argument)
{
    (void)argument;
    lock(&mutex);
    call_all(STABLE, 0, PARAMETER);
    unlock(&mutex);
    THREAD_RETURN;
}

/* Give everybody who waits for stable addresses a table of all addresses. */
EXPORT void stand_in_fire_stable(void)
{
    thread_t thread;
    thread_start(&thread, stable_thread, NULL);
    thread_join(thread);
}

/*
 * What the benchmarks need: callbacks to the one registration there is, from one new
 * thread, with the times when each was entered and left. The ports are 1, 2, 3 ... and
 * the last one is 65535. With a gap, each waits for stand_in_resume and then that long; with a
 * negative one, it waits that long only.
 */
struct pace {
    long count;
    int64_t gap, *entered, *left;
};

THREAD_FUNC pace_thread(void *argument)
{
    struct pace *p = argument;
    struct registration *r;
    uint16_t number;
    long i;
    for (i = 0; i < p->count; i++) {
        lock(&mutex);
        while (p->gap > 0 && !resumed)
            wait(&changed, &mutex);
        resumed = 0;
        unlock(&mutex);
        if (p->gap)
            pause_for(p->gap < 0 ? -p->gap : p->gap);
        lock(&mutex);
        number = (uint16_t)(i + 1 < p->count ? 1 + i % 65000 : 65535);
        port = number;
        r = registrations;
        if (!r)
            abort();
        r->in_flight++;
        unlock(&mutex);
        p->entered[i] = now();
        r->callback(r->context, number, PARAMETER);
        p->left[i] = now();
        lock(&mutex);
        r->in_flight--;
        wake(&changed);
        unlock(&mutex);
    }
    THREAD_RETURN;
}

EXPORT void stand_in_pace(long count, int64_t gap, int64_t *entered, int64_t *left)
{
    struct pace p = {count, gap, entered, left};
    thread_t thread;
    thread_start(&thread, pace_thread, &p);
    thread_join(thread);
}

EXPORT void stand_in_resume(void)
{
    lock(&mutex);
    resumed = 1;
    wake(&changed);
    unlock(&mutex);
}
