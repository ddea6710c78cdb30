using System.Runtime.ExceptionServices;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// The one pool of threads that all CPU kernels share. Work is cut into items by shape alone and handed out by a counter,
/// so that results do not depend on the number of threads.
/// </summary>
/// <remarks>Workers spin for some 50 µs before they sleep: an empty fork and join costs under a microsecond between the
/// operations of a training step and 20–30 µs after a pause (docs/log.md).</remarks>
public sealed class WorkerPool
{
    private const int SpinsBeforeSleep = 1500;
    private const int SpinsBeforeYield = 2000;

    private readonly Lock _gate = new();
    private readonly List<Worker> _workers = [];
    private int _threads = Environment.ProcessorCount;

    private Action<int>? _body;
    private int _count;
    private int _next;
    private ExceptionDispatchInfo? _failure;

    private WorkerPool()
    {
    }

    /// <summary>The pool.</summary>
    public static WorkerPool Shared { get; } = new();

    /// <summary>How many threads work at once, the caller included: all processors unless set.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 1.</exception>
    public int Threads
    {
        get => _threads;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            lock (_gate) _threads = value;
        }
    }

    /// <summary>
    /// Calls <paramref name="body"/> for 0 … <paramref name="count"/> − 1, each once, on any thread in any order, and waits.
    /// </summary>
    /// <param name="count">The number of items: from shapes, never from the number of threads.</param>
    /// <param name="body">Works on one item. An exception stops the handing out and comes back to the caller.</param>
    public void For(int count, Action<int> body)
    {
        if (count <= 0) return;
        // A nested or concurrent call runs on its own thread: correct, and nobody waits for anybody.
        if (count == 1 || _threads == 1 || _gate.IsHeldByCurrentThread || !_gate.TryEnter())
        {
            for (int i = 0; i < count; i++) body(i);
            return;
        }

        try
        {
            Share(count, body);
        }
        finally
        {
            _gate.Exit();
        }
    }

    private void Share(int count, Action<int> body)
    {
        int helpers = Math.Min(_threads, count) - 1;
        while (_workers.Count < helpers) _workers.Add(new Worker(this, _workers.Count + 1));
        (_body, _count, _failure) = (body, count, null);
        Volatile.Write(ref _next, 0);
        for (int i = 0; i < helpers; i++) _workers[i].Assign();
        TakeItems();
        for (int i = 0; i < helpers; i++) _workers[i].Join();
        _body = null;
        _failure?.Throw();
    }

    private void TakeItems()
    {
        Action<int> body = _body!;
        try
        {
            for (int item; (item = Interlocked.Increment(ref _next) - 1) < _count;) body(item);
        }
        catch (Exception exception)
        {
            _failure = ExceptionDispatchInfo.Capture(exception);
            Volatile.Write(ref _next, _count);
        }
    }

    private sealed class Worker
    {
        private const int Idle = 0, Assigned = 1, Running = 2;

        private readonly WorkerPool _pool;
        private readonly SemaphoreSlim _wake = new(0);
        private int _state;
        private int _asleep;

        public Worker(WorkerPool pool, int number)
        {
            _pool = pool;
            new Thread(Loop) { IsBackground = true, Name = $"GatedFwa worker {number}" }.Start();
        }

        public void Assign()
        {
            Interlocked.Exchange(ref _state, Assigned);
            if (Interlocked.Exchange(ref _asleep, 0) == 1) _wake.Release();
        }

        /// <summary>Waits for a worker that has begun; takes the assignment back from one that has not woken up yet.</summary>
        public void Join()
        {
            if (Interlocked.CompareExchange(ref _state, Idle, Assigned) == Assigned) return;
            for (int spins = 0; Volatile.Read(ref _state) != Idle;)
            {
                Thread.SpinWait(1);
                // On a machine with fewer cores than threads the worker needs this one to finish.
                if (++spins % SpinsBeforeYield == 0) Thread.Yield();
            }
        }

        private void Loop()
        {
            while (true)
            {
                WaitForAssignment();
                if (Interlocked.CompareExchange(ref _state, Running, Assigned) != Assigned) continue;
                _pool.TakeItems();
                Volatile.Write(ref _state, Idle);
            }
        }

        private void WaitForAssignment()
        {
            for (int spins = 0; spins < SpinsBeforeSleep; spins++)
            {
                if (Volatile.Read(ref _state) == Assigned) return;
                Thread.SpinWait(1);
            }

            Interlocked.Exchange(ref _asleep, 1);
            bool assignedMeanwhile = Volatile.Read(ref _state) == Assigned;
            // Whoever clears the flag owns the wake-up: if Assign was quicker its Release is on the way and must be consumed.
            if (assignedMeanwhile && Interlocked.Exchange(ref _asleep, 0) == 1) return;
            _wake.Wait();
        }
    }
}
