using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>Times work on a GPU, by marks on its stream, between two looks at what it can do at that moment.</summary>
internal sealed class GpuClock : IDisposable
{
    // Within a sample the same work is put on the stream so often that the host is always ahead.
    private const double ShortestSampleMs = 20;
    private const int MostRepeats = 200, WarmUps = 3;

    private const int PeakSize = 8192, PeakRepeats = 4, CopyRepeats = 4;
    private const long CopyBytes = 1 << 30;

    private readonly CudaDevice _cuda;
    private readonly CudaEvent _start, _end;
    private Tensor? _a, _b, _c;

    public GpuClock(Device device)
    {
        Device = device;
        _cuda = CudaDevice.Get(device.Index);
        _start = new CudaEvent(_cuda, timed: true);
        _end = new CudaEvent(_cuda, timed: true);
    }

    public Device Device { get; }

    /// <summary>The GPU in words.</summary>
    public string Description => _cuda.ToString();

    /// <summary>Milliseconds that the GPU takes for what is put on its stream meanwhile.</summary>
    public double Milliseconds(Action work)
    {
        _start.Record();
        work();
        _end.Record();
        _end.Wait();
        return _end.MillisecondsSince(_start);
    }

    /// <summary>Samples of one piece of work, with the mean of a limit measured before and after them.</summary>
    /// <param name="samples">How many.</param>
    /// <param name="limit">What the GPU could do.</param>
    /// <param name="run">Given how often, runs the work as often and gives the milliseconds of all runs.</param>
    /// <param name="value">From the milliseconds of one run to what the row tells.</param>
    public Sample[] Take(int samples, Func<double> limit, Func<int, double> run, Func<double, double> value)
    {
        double once = 0;
        for (int i = 0; i < WarmUps; i++) once = run(1); // Kernels are compiled, algorithms chosen, memory taken.
        int repeats = (int)Math.Clamp(Math.Ceiling(ShortestSampleMs / Math.Max(once, 1e-3)), 1, MostRepeats);
        limit(); // Its memory is taken, its algorithm chosen.
        double before = limit();
        // After the limit the GPU is hot, its clock low: a run that does not count brings it to what the work itself allows.
        run(repeats);
        double[] measured = [.. Enumerable.Range(0, samples).Select(_ => value(run(repeats) / repeats))];
        double mean = (before + limit()) / 2;
        return [.. measured.Select(sample => new Sample(sample, mean))];
    }

    /// <summary>The same for work that is only put on the stream.</summary>
    public Sample[] Take(int samples, Func<double> limit, Action work, Func<double, double> value) =>
        Take(samples, limit, Repeating(work), value);

    /// <summary>Rows of a piece of work whose limit is the bf16 peak: its time, and the operations it does in that time.</summary>
    /// <param name="what">The row's name.</param>
    /// <param name="flops">Floating-point operations of one run that count.</param>
    /// <param name="samples">How many samples.</param>
    /// <param name="run">Given how often, runs as often and gives the milliseconds of all runs.</param>
    public Row[] Timed(string what, double flops, int samples, Func<int, double> run)
    {
        Sample[] taken = Take(samples, () => flops / PeakTeraflops() / 1e9, run, milliseconds => milliseconds);
        Sample Rate(Sample sample) => new(flops / sample.Value / 1e9, flops / sample.Limit!.Value / 1e9);
        return [new Row(what, 0, "ms", taken) { LessIsBetter = true }, new Row(what, 0, "TFLOP/s", [.. taken.Select(Rate)])];
    }

    /// <summary>Work as <see cref="Take(int, Func{double}, Func{int, double}, Func{double, double})"/> repeats it.</summary>
    public Func<int, double> Repeating(Action work) => repeats => Milliseconds(() =>
    {
        for (int i = 0; i < repeats; i++) work();
    });

    /// <summary>TFLOP/s of a large bf16 product through cuBLASLt.</summary>
    public double PeakTeraflops()
    {
        _a ??= RandomTensor.Normal([PeakSize, PeakSize], seed: 1, Device, DType.BF16);
        _b ??= RandomTensor.Normal([PeakSize, PeakSize], seed: 2, Device, DType.BF16);
        _c ??= Tensor.Empty([PeakSize, PeakSize], DType.BF16, Device);
        double milliseconds = Repeating(() =>
            CudaMatrixProduct.Multiply(_cuda, CudaMatrix.Of(_a), CudaMatrix.Of(_b).Transposed, CudaMatrix.Of(_c)))(PeakRepeats);
        return PeakRepeats * 2.0 * PeakSize * PeakSize * PeakSize / milliseconds / 1e9;
    }

    /// <summary>GB/s of copying GPU memory, what is read and what is written counted.</summary>
    /// <param name="bytes">How much is copied at once; 1 GiB unless given.</param>
    public double CopyGigabytesPerSecond(long bytes = CopyBytes)
    {
        using CudaStorage source = _cuda.Memory.Rent(bytes), target = _cuda.Memory.Rent(bytes);
        double milliseconds = Repeating(() => target.CopyFrom(source))(CopyRepeats);
        return CopyRepeats * 2.0 * bytes / milliseconds / 1e6;
    }

    public void Dispose()
    {
        _a?.Dispose();
        _b?.Dispose();
        _c?.Dispose();
        _start.Dispose();
        _end.Dispose();
    }
}
