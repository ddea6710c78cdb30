using System.Numerics;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>Gated window attention on a GPU: picks the kernels, and does what comes before and after all of them.</summary>
internal static class GatedWindowCuda
{
    /// <summary>Set to <c>portable</c> to use the kernels for sm_80 and later on any GPU.</summary>
    public const string PathVariable = "GATEDFWA_CUDA_ATTENTION";

    private const int Threads = 256, Warp = 32;

    // Of attention_gradient.cu: positions of a step, heads of a block, bytes of a SegmentedSum. A warp reads what all runs before its own
    // leave behind, so that longer texts have longer ones.
    private const int RunStep = 256, MostRuns = 256, RunHeads = 8, CrossingBytes = 16;

    // Rows of o whose loads are on the way at once, in output_dot_gradient.cu.
    private const int RowsPerLane = 4;

    private static readonly KernelSource UnseenSource = new(typeof(GatedWindowCuda), "unseen_queries.cu");
    private static readonly KernelSource OutputSource = new(typeof(GatedWindowCuda), "output_dot_gradient.cu");
    private static readonly KernelSource GradientSource = new(typeof(GatedWindowCuda), "attention_gradient.cu");

    private static readonly bool IsPortableForced = Environment.GetEnvironmentVariable(PathVariable) == "portable";

    /// <summary>Writes o and lse.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, S, Hkv, D].</param>
    /// <param name="v">[B, S, Hkv, D].</param>
    /// <param name="alpha">F32 [B, S, H], or none.</param>
    /// <param name="ready">The prefix of alpha, where the gate has made it.</param>
    /// <param name="o">[B, T, H, D].</param>
    /// <param name="lse">F32 [B, H, T].</param>
    /// <param name="keeper">The tape that keeps what the backward pass will read, where there will be one.</param>
    /// <returns>The prefix of alpha for the backward pass.</returns>
    public static DecayGatePrefix? Forward(
        GatedWindowProblem problem, Tensor q, Tensor k, Tensor v, Tensor? alpha, DecayGatePrefix? ready, Tensor o, Tensor lse, Tape? keeper)
    {
        if (problem.Shape.QueryCount == 0) return ready;
        using var segments = new CudaSegments(problem, q.Cuda);
        if (keeper is not null) ready = CudaDecayPrefix.On(keeper, alpha, ready, segments, q.Type);
        using CudaDecayPrefix? prefix = CudaDecayPrefix.Of(alpha, ready, segments, q.Type);
        Attend(problem, segments, q, k, v, prefix, o, lse);
        return ready;
    }

    /// <summary>Writes the gradients that are wanted, or adds to them.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="q">As in the forward pass, and so the next five.</param>
    /// <param name="k">[B, S, Hkv, D].</param>
    /// <param name="v">[B, S, Hkv, D].</param>
    /// <param name="alpha">F32 [B, S, H], or none.</param>
    /// <param name="ready">The prefix of alpha, where the gate has made it.</param>
    /// <param name="o">What the forward pass gave.</param>
    /// <param name="lse">What the forward pass gave.</param>
    /// <param name="outputGradient">[B, T, H, D].</param>
    /// <param name="gradients">Where they go.</param>
    public static void Backward(
        GatedWindowProblem problem,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor? alpha,
        DecayGatePrefix? ready,
        Tensor o,
        Tensor lse,
        Tensor outputGradient,
        AttentionGradients gradients)
    {
        GatedWindowShape shape = problem.Shape;
        if (shape.KeyCount == 0) return;
        CudaDevice device = q.Cuda;
        gradients = gradients.ClearedUnless(problem.CoversEverything);
        using var segments = new CudaSegments(problem, device);
        using CudaDecayPrefix? prefix = CudaDecayPrefix.Of(alpha, ready, segments, q.Type);
        int sumBytes = q.Type == DType.F32 ? sizeof(double) : sizeof(float);
        using CudaStorage delta = device.Memory.Rent(shape.LseCount * sizeof(float));
        using CudaStorage? columns = gradients.Dalpha.Tensor is null ? null : device.Memory.Rent(shape.AlphaCount * sumBytes);
        // In 16 bits the rows' sums have gone into δ.
        bool wantsRows = gradients.Dalpha.Tensor is not null && q.Type == DType.F32;
        using CudaStorage? rows = wantsRows ? device.Memory.Rent(shape.LseCount * sumBytes) : null;
        MultiplyOutput(o, outputGradient, delta, shape);
        var operands = new CudaBackwardOperands(q, k, v, outputGradient, lse, delta, prefix, gradients, columns, rows);
        if (q.Type == DType.F32) GatedWindowFloat32.Backward(problem, segments, operands);
        else if (IsForHopper(device, problem, q.Type)) GatedWindowHopper.Backward(problem, segments, operands);
        else GatedWindowPortable.Backward(problem, segments, operands);
        if (gradients.Dalpha.Tensor is not null) FinishDecayGradient(problem, segments, q.Type, columns!, rows, gradients.Dalpha, device);
    }

    private static bool IsForHopper(CudaDevice device, GatedWindowProblem problem, DType type) =>
        !IsPortableForced && GatedWindowHopper.Takes(device, problem, type);

    private static void Attend(
        GatedWindowProblem problem, CudaSegments segments, Tensor q, Tensor k, Tensor v, CudaDecayPrefix? prefix, Tensor o, Tensor lse)
    {
        if (IsForHopper(q.Cuda, problem, q.Type))
        {
            GatedWindowHopper.Forward(problem, q, k, v, prefix is null ? null : (prefix.Local, prefix.Totals), segments.Starts, o, lse);
            return;
        }

        if (!problem.CoversEverything) MarkAllUnseen(q.Cuda, o, lse);
        if (q.Type == DType.F32) GatedWindowFloat32.Forward(problem, segments, q, k, v, prefix, o, lse);
        else GatedWindowPortable.Forward(problem, segments, q, k, v, prefix, o, lse);
    }

    /// <summary>δ = Σ o dO over each head.</summary>
    private static void MultiplyOutput(Tensor o, Tensor outputGradient, CudaStorage delta, GatedWindowShape shape)
    {
        int packs = shape.HeadSize / RowLaunch.PackOf(o.Type, shape.HeadSize);
        long lanes = Math.Min(Warp, BitOperations.RoundUpToPowerOf2((uint)packs)), rows = shape.LseCount;
        o.Cuda.Kernel(OutputSource, "output_dot_gradient", KernelDefine.Element(o.Type), ("SIZE", shape.HeadSize)).Launch(
            RowLaunch.Over(RowLaunch.Quotient(rows, RowsPerLane) * lanes), o, outputGradient, delta, rows, shape.Tokens, shape.Heads);
    }

    /// <summary>dα from the sums of dS over queries and over keys.</summary>
    private static void FinishDecayGradient(
        GatedWindowProblem problem,
        CudaSegments segments,
        DType type,
        CudaStorage columns,
        CudaStorage? rows,
        GradientTarget dalpha,
        CudaDevice device)
    {
        GatedWindowShape shape = problem.Shape;
        int steps = RowLaunch.Quotient(shape.Positions, MostRuns * RunStep), runs = RowLaunch.Quotient(shape.Positions, steps * RunStep);
        using CudaStorage crossing = device.Memory.Rent((long)runs * shape.Batch * shape.Heads * CrossingBytes);
        var launch = new LaunchShape(
            runs, Threads, BlocksY: RowLaunch.Quotient(shape.Heads, RunHeads), BlocksZ: shape.Batch, Overlaps: true);
        CudaKernel Kernel(string function) => device.Kernel(
            GradientSource, function, ("SUM", type == DType.F32 ? "double" : "float"), ("QUAD", shape.Heads % 4 == 0 ? 4 : 1));
        Kernel("decay_gradient_runs").Launch(
            launch, columns, rows, segments.Starts, crossing, steps, shape.Tokens, shape.Positions, shape.Heads);
        Kernel("decay_gradient").Launch(
            launch,
            columns,
            rows,
            segments.Starts,
            crossing,
            dalpha.Tensor,
            !dalpha.IsFresh,
            steps,
            shape.Tokens,
            shape.Positions,
            shape.Heads);
    }

    /// <summary>Queries in no segment see nothing: o = 0, lse = −∞. Those that do see something are written later.</summary>
    private static void MarkAllUnseen(CudaDevice device, Tensor o, Tensor lse)
    {
        o.Clear();
        device.Kernel(UnseenSource, "unseen_queries").Launch(
            new LaunchShape(checked((int)((lse.Count + Threads - 1) / Threads)), Threads), lse, lse.Count);
    }
}

/// <summary>Everything that the backward kernels read and write.</summary>
internal sealed record CudaBackwardOperands(
    Tensor Q,
    Tensor K,
    Tensor V,
    Tensor OutputGradient,
    Tensor Lse,
    CudaStorage Delta,
    CudaDecayPrefix? Prefix,
    AttentionGradients Gradients,
    CudaStorage? ColumnSums,
    CudaStorage? RowSums)
{
    /// <summary>Whether the kernel that keeps keys has anything to do.</summary>
    public bool WantsKeys => Gradients.Dk.Tensor is not null || Gradients.Dv.Tensor is not null || ColumnSums is not null;

    /// <summary>Whether the kernel that keeps queries has.</summary>
    public bool WantsQueries => Gradients.Dq.Tensor is not null || RowSums is not null;

    /// <summary>The arguments of a kernel that keeps keys and walks tiles.</summary>
    public KernelArgument[] KeysOf(GatedWindowProblem problem, CudaTiles tiles)
    {
        (_, GradientTarget dk, GradientTarget dv, _) = Gradients;
        return [.. Inputs, dk.Tensor, dv.Tensor, !dk.IsFresh, !dv.IsFresh, ColumnSums, .. tiles.Walk(problem, problem.Scale)];
    }

    /// <summary>The arguments of a kernel that keeps queries and walks tiles.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="tiles">The tiles.</param>
    /// <param name="sums">Where the kernel takes room for the sums of dS along each query: that.</param>
    public KernelArgument[] QueriesOf(GatedWindowProblem problem, CudaTiles tiles, params KernelArgument[] sums) =>
        [.. Inputs, Gradients.Dq.Tensor, !Gradients.Dq.IsFresh, .. sums, .. tiles.Walk(problem, problem.Scale)];

    private KernelArgument[] Inputs => [Q, K, V, OutputGradient, Lse, Delta, Prefix?.Local, Prefix?.Totals];
}
