using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cuda;

/// <summary>
/// Kernels that are not compiled when they are launched. Storage lives to the end of a test: giving it back waits for the GPU.
/// </summary>
public sealed unsafe class CudaStreamTests : TensorTest
{
    private const int Width = 4;

    private static readonly KernelSource Source = new(typeof(CudaStreamTests), "in_line.cu");
    private static readonly KernelSource Broken = new(typeof(CudaStreamTests), "no_kernel.cu");

    private readonly CudaDevice _device;

    public CudaStreamTests()
        : base(TestBackend.CudaFloat32)
    {
        bool waits = Environment.GetEnvironmentVariable(CudaKernel.SynchronousVariable) == "1";
        Assert.SkipWhen(waits, $"With {CudaKernel.SynchronousVariable}=1 nothing waits in line.");
        _device = CudaDevice.Get(0);
    }

    [Fact]
    public void What_comes_behind_a_kernel_in_line_runs_behind_it()
    {
        Late first = new(_device), second = new(_device);
        using CudaStorage values = Values(1), copies = Values(0), product = Values(0), ones = Values(1);
        using var mark = new CudaEvent(_device);
        using var answer = new CudaReadback(_device, sizeof(float));
        var other = new float[Width];

        first.Launch(values, 1); // 3
        copies.CopyFrom(values);
        second.Launch(values, 10); // 16
        _device.Kernel(Source, "double_and_add", ("FACTOR", 2)).Launch(new LaunchShape(1, Width), copies, 100f); // 106
        Matrix(_device, copies, ones, product); // 212
        answer.Ask(values); // 16
        mark.Record();
        values.Clear();
        first.Launch(values, 5); // 5
        Array.Fill(other, 7);
        Upload(ones, other);
        Array.Fill(other, 8); // Nobody may see this.
        second.Launch(ones, 0); // 14

        Assert.False(_device.Stream.IsOpen);
        Assert.False(mark.IsReached);
        second.Arrive();
        Assert.False(mark.IsReached); // The first is still missing.
        Later(first.Arrive);
        Assert.Equal(16, answer.Read<float>());
        Assert.Equal([5, 5, 5, 5], Read(values));
        Assert.Equal([106, 106, 106, 106], Read(copies));
        Assert.Equal([212, 212, 212, 212], Read(product));
        Assert.Equal([14, 14, 14, 14], Read(ones));
        Assert.True(mark.IsReached);
        Assert.True(_device.Stream.IsOpen);
    }

    [Fact]
    public void The_line_moves_on_without_anybody_waiting_once_its_kernels_are_there()
    {
        var late = new Late(_device);
        using CudaStorage values = Values(1);
        late.Launch(values, 1);
        late.Launch(values, 1);
        Assert.False(_device.Stream.IsOpen);
        late.Arrive();
        late.Launch(values, 1);
        Assert.True(_device.Stream.IsOpen);
        Assert.Equal([15, 15, 15, 15], Read(values));
    }

    [Fact]
    public void Another_thread_that_comes_later_comes_later_on_the_stream()
    {
        var late = new Late(_device);
        using CudaStorage values = Values(1);
        RunOnThread(() => late.Launch(values, 1));
        _device.Kernel(Source, "double_and_add", ("FACTOR", 2)).Launch(new LaunchShape(1, Width), values, 10f);
        Later(late.Arrive);
        float[] read = [];
        RunOnThread(() => read = Read(values));
        Assert.Equal([16, 16, 16, 16], read);
    }

    [Theory]
    [InlineData(5)]
    [InlineData(12)] // More than may wait, and more than there are pinned blocks.
    public void Uploads_in_line_keep_the_bytes_they_were_given(int uploads)
    {
        const int Count = 1 << 20; // 4 MB, a pinned block.
        var late = new Late(_device);
        using CudaStorage target = _device.Memory.Rent((uploads + 1) * Count * sizeof(float));
        using CudaStorage values = Values(1);
        late.Launch(values, 1);
        Later(late.Arrive);
        var bytes = new float[Count + 1];
        for (int i = 0; i < uploads; i++)
        {
            Array.Fill(bytes, i + 1);
            Upload(target, bytes, (long)i * Count * sizeof(float));
        }

        var read = new float[(uploads * Count) + 1];
        target.CopyToHost(MemoryMarshal.AsBytes(read.AsSpan()), 0);
        for (int i = 0; i < uploads; i++)
        {
            Assert.Equal(i + 1, read[i * Count]);
            Assert.Equal(i + 1, read[((i + 1) * Count) - 1]);
        }

        Assert.Equal(uploads, read[^1]);
    }

    [Fact]
    public void A_graph_is_recorded_behind_what_waits_and_runs_behind_it()
    {
        Late first = new(_device), second = new(_device);
        using CudaStorage values = Values(1);
        first.Launch(values, 1); // 3
        second.Launch(values, 0); // 6
        second.Arrive();
        Later(first.Arrive);
        using CudaGraph graph = CudaGraph.Capture(_device, () => second.Launch(values, 10));
        graph.Launch(); // 22
        var third = new Late(_device);
        third.Launch(values, 0); // 44
        Later(third.Arrive);
        graph.Launch(); // 98
        Assert.Equal([98, 98, 98, 98], Read(values));
    }

    [Fact]
    public void Marks_and_answers_may_go_before_their_turn()
    {
        var late = new Late(_device);
        using CudaStorage values = Values(1);
        late.Launch(values, 1);
        var mark = new CudaEvent(_device);
        mark.Record();
        mark.Dispose();
        var answer = new CudaReadback(_device, sizeof(float));
        answer.Ask(values);
        answer.Dispose();
        Later(late.Arrive);
        Assert.Equal([3, 3, 3, 3], Read(values));
    }

    [Fact]
    public void Kernels_are_compiled_while_the_host_goes_on()
    {
        CudaDevice device = Separate();
        CudaStorage values = device.Memory.Rent(Width * sizeof(float));
        values.Clear();
        for (int factor = 1; factor <= 6; factor++)
            device.Kernel(Source, "double_and_add", ("FACTOR", factor)).Launch(new LaunchShape(1, Width), values, (float)factor);
        Assert.Equal([1956, 1956, 1956, 1956], Read(values)); // (((((0·1 + 1)·2 + 2)·3 + 3)·4 + 4)·5 + 5)·6 + 6
        values.Dispose();
    }

    [Fact]
    public void A_kernel_that_does_not_compile_is_told_to_whoever_waits_and_to_everybody_after()
    {
        CudaDevice device = Separate();
        CudaStorage values = device.Memory.Rent(Width * sizeof(float)); // Goes with the process: nothing can be waited for.
        values.Clear();
        device.Synchronize();
        CudaKernel sound = device.Kernel(Source, "double_and_add", ("FACTOR", 2));
        var answer = new CudaReadback(device, sizeof(float));

        var late = new Late(device); // However quickly the other one fails, it does so in line.

        string first = Assert.Throws<CudaException>(() =>
        {
            late.Launch(values, 0);
            device.Kernel(Broken, "no_kernel").Launch(new LaunchShape(1, Width), values);
            sound.Launch(new LaunchShape(1, Width), values, 1f);
            answer.Ask(values);
            Later(late.Arrive);
            device.Synchronize();
        }).Message;
        Assert.StartsWith("The kernel no_kernel.cu does not compile with ", first, StringComparison.Ordinal);
        Assert.Contains("of_nothing_that_is_declared", first, StringComparison.Ordinal);

        Assert.Equal(first, Assert.Throws<CudaException>(device.Synchronize).Message);
        Assert.Equal(first, Assert.Throws<CudaException>(() => sound.Launch(new LaunchShape(1, Width), values, 1f)).Message);
        Assert.Equal(first, Assert.Throws<CudaException>(() => Read(values)).Message);
        Assert.Equal(first, Assert.Throws<CudaException>(values.Clear).Message);
        Assert.Equal(first, Assert.Throws<CudaException>(() => Upload(values, [1])).Message);
        Assert.Equal(first, Assert.Throws<CudaException>(() => CudaGraph.Capture(device, () => { })).Message);
        answer.Dispose();

        var read = new float[Width]; // Past the line: nothing behind the failure ran.
        fixed (float* target = read)
            Assert.Equal(0, CudaDriver.cuMemcpyDtoHAsync(target, values.Address, Width * sizeof(float), device.Stream.Handle));
        Assert.Equal(0, CudaDriver.cuStreamSynchronize(device.Stream.Handle));
        Assert.Equal([0, 0, 0, 0], read);
    }

    /// <summary>The same GPU with kernels, memory and a stream that nobody else uses.</summary>
    private static CudaDevice Separate()
    {
        int ordinal;
        Assert.Equal(0, CudaDriver.cuDeviceGet(&ordinal, 0));
        return new CudaDevice(0, ordinal);
    }

    private static void Matrix(CudaDevice device, CudaStorage a, CudaStorage b, CudaStorage c)
    {
        CudaMatrix Square(CudaStorage storage) => new(storage.Address, DType.F32, 2, 2, 2);
        CudaMatrixProduct.Multiply(device, Square(a), Square(b), Square(c));
    }

    private static void RunOnThread(Action work)
    {
        var thread = new Thread(() => work());
        thread.Start();
        thread.Join();
    }

    private static void Later(Action arrive) => Task.Run(() =>
    {
        Thread.Sleep(50);
        arrive();
    });

    private static void Upload(CudaStorage target, float[] values, long start = 0) =>
        target.CopyFromHost(MemoryMarshal.AsBytes(values.AsSpan()), start);

    private static float[] Read(CudaStorage storage)
    {
        var values = new float[storage.Bytes / sizeof(float)];
        storage.CopyToHost(MemoryMarshal.AsBytes(values.AsSpan()), 0);
        return values;
    }

    private CudaStorage Values(float value)
    {
        CudaStorage storage = _device.Memory.Rent(Width * sizeof(float));
        Upload(storage, [.. Enumerable.Repeat(value, Width)]);
        return storage;
    }

    /// <summary>A kernel whose module is there when the test says so.</summary>
    private sealed class Late
    {
        private readonly TaskCompletionSource<nint> _module = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly CudaDevice _device;
        private readonly CudaKernel _kernel;

        public Late(CudaDevice device) =>
            (_device, _kernel) = (device, new CudaKernel(device, _module.Task, "double_and_add", "double_and_add (late)"));

        public void Launch(CudaStorage values, float value) => _kernel.Launch(new LaunchShape(1, Width), values, value);

        public void Arrive()
        {
            _device.Activate();
            using Stream text = typeof(CudaStreamTests).Assembly.GetManifestResourceStream(Source.File)!;
            byte[] image = Nvrtc.Compile(
                Source.File,
                new StreamReader(text).ReadToEnd(),
                new Dictionary<string, string>(),
                ["-DFACTOR=2", "--device-as-default-execution-space", $"--gpu-architecture=sm_{_device.Architecture}"]);
            nint module;
            fixed (byte* bytes = image) Assert.Equal(0, CudaDriver.cuModuleLoadData(&module, bytes));
            _module.SetResult(module);
        }
    }
}
