using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Tests.Cpu;

public sealed class WorkerPoolTests : IDisposable
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    public void Dispose() => WorkerPool.Shared.Threads = _threads;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(9)]
    public void Every_item_is_worked_on_exactly_once(int threads)
    {
        WorkerPool.Shared.Threads = threads;
        foreach (int count in new[] { 0, 1, 2, 7, 1000 })
        {
            var visits = new int[count];
            WorkerPool.Shared.For(count, item => Interlocked.Increment(ref visits[item]));
            Assert.All(visits, visit => Assert.Equal(1, visit));
        }
    }

    [Fact]
    public void The_items_are_shared_among_the_threads()
    {
        WorkerPool.Shared.Threads = 3;
        var seen = new HashSet<int>();
        WorkerPool.Shared.For(6, _ =>
        {
            lock (seen) seen.Add(Environment.CurrentManagedThreadId);
            Thread.Sleep(30);
        });
        Assert.InRange(seen.Count, 2, 3);
        Assert.Contains(Environment.CurrentManagedThreadId, seen);
    }

    [Fact]
    public void One_thread_means_the_caller_alone()
    {
        WorkerPool.Shared.Threads = 1;
        int caller = Environment.CurrentManagedThreadId;
        WorkerPool.Shared.For(20, _ => Assert.Equal(caller, Environment.CurrentManagedThreadId));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void An_exception_comes_back_to_the_caller_and_the_pool_goes_on(int threads)
    {
        WorkerPool.Shared.Threads = threads;
        for (int run = 0; run < 50; run++)
        {
            int bad = run % 10;
            var thrown = Assert.Throws<InvalidDataException>(() => WorkerPool.Shared.For(10, item =>
            {
                if (item == bad) throw new InvalidDataException($"item {item}");
            }));
            Assert.Equal($"item {bad}", thrown.Message);
            int done = 0;
            WorkerPool.Shared.For(10, _ => Interlocked.Increment(ref done));
            Assert.Equal(10, done);
        }
    }

    [Fact]
    public void A_call_inside_a_call_works_on_its_own_thread()
    {
        WorkerPool.Shared.Threads = 3;
        int inner = 0;
        WorkerPool.Shared.For(8, _ =>
        {
            int thread = Environment.CurrentManagedThreadId;
            WorkerPool.Shared.For(50, _ =>
            {
                Assert.Equal(thread, Environment.CurrentManagedThreadId);
                Interlocked.Increment(ref inner);
            });
        });
        Assert.Equal(8 * 50, inner);
    }

    [Fact]
    public void Callers_at_the_same_time_do_not_get_each_others_items()
    {
        WorkerPool.Shared.Threads = 3;
        var sums = new long[4];
        Thread[] callers = [.. Enumerable.Range(0, sums.Length).Select(caller => new Thread(() =>
        {
            for (int run = 0; run < 500; run++) WorkerPool.Shared.For(20, item => Interlocked.Add(ref sums[caller], item));
        }))];
        foreach (Thread caller in callers) caller.Start();
        foreach (Thread caller in callers) caller.Join();
        Assert.All(sums, sum => Assert.Equal(500 * 190, sum));
    }

    [Fact]
    public void Many_tiny_runs_lose_no_item()
    {
        WorkerPool.Shared.Threads = 2;
        int done = 0;
        for (int run = 0; run < 20_000; run++) WorkerPool.Shared.For(3, _ => Interlocked.Increment(ref done));
        Assert.Equal(60_000, done);
    }

    [Fact]
    public void Workers_that_went_to_sleep_wake_up()
    {
        WorkerPool.Shared.Threads = 2;
        for (int run = 0; run < 20; run++)
        {
            Thread.Sleep(2);
            // The first item waits for the second: only another thread can bring it.
            using var second = new ManualResetEventSlim();
            bool came = false;
            WorkerPool.Shared.For(2, item =>
            {
                if (item == 0) came = second.Wait(10_000);
                else second.Set();
            });
            Assert.True(came);
        }
    }

    [Fact]
    public void Fewer_than_one_thread_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => WorkerPool.Shared.Threads = 0);
}
