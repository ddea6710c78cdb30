using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// One matrix product gives both projections of all heads, [N, 2H] with N = B·T, in float32 whatever the features are. One kernel
/// then reads each of them once; backward one kernel writes their gradient in the features' type, for the products.
/// </summary>
/// <remarks>
/// Products of bfloat16 would round the weights to 8 bits, and a decay off by that share of itself is off at every key. There the
/// weights are two parts, rounded and remainder, in one product of twice the columns: it costs no second reading of x.
/// </remarks>
internal static class DecayGateCuda
{
    private const int TilePositions = TwoLevelPrefix.ChunkPositions;
    private const int TileHeads = 16;
    private const int Threads = 256;

    private static readonly KernelSource Source = new(typeof(DecayGateCuda), "decay_gate.cu");

    /// <summary>[gateWeight; amplitudeWeight] in the features' type, [parts · 2H, C], for the caller to dispose.</summary>
    public static Tensor Stack(Tensor gateWeight, Tensor amplitudeWeight, DType type)
    {
        int count = checked((int)gateWeight.Count);
        Tensor weights = Tensor.Empty([Parts(type) * 2 * gateWeight.Shape[0], gateWeight.Shape[1]], type, gateWeight.Device);
        Kernel(weights, "decay_gate_stack", 1, type).Launch(Elements(count), gateWeight, amplitudeWeight, weights, count);
        return weights;
    }

    /// <summary>x · weightsᵀ, without the bias: F32 [N, parts · 2H], for the caller to dispose.</summary>
    public static Tensor Project(Tensor x, Tensor weights)
    {
        Tensor projections = Tensor.Empty([x.Shape[0] * x.Shape[1], weights.Shape[0]], DType.F32, x.Device);
        CudaMatrixProduct.Multiply(x.Cuda, CudaMatrix.Of(x), CudaMatrix.Of(weights).Transposed, CudaMatrix.Of(projections));
        return projections;
    }

    /// <summary>ELU, softplus, division and, where asked for, the prefix sums.</summary>
    /// <param name="features">The type of x, which decides of what parts the projections are.</param>
    /// <param name="projections">What <see cref="Project"/> gave.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="alpha">F32 [B, T, H].</param>
    /// <param name="prefix">Of α [B, T, H].</param>
    public static void Forward(DType features, Tensor projections, Tensor gateBias, float epsilon, Tensor alpha, DecayGatePrefix? prefix)
    {
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        var shape = new LaunchShape(Tiles(positions), Threads, BlocksY: HeadTiles(heads), BlocksZ: batch);
        Kernel(alpha, "decay_gate_forward", Lanes(heads), features).Launch(
            shape, projections, gateBias, epsilon, alpha, prefix?.Local, prefix?.Totals, positions, heads);
    }

    /// <summary>Stores the gradient of the projections, and adds to that of the bias, where it is wanted.</summary>
    /// <param name="projections">What <see cref="Project"/> gave.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="dalpha">F32 [B, T, H].</param>
    /// <param name="dprojections">[..., 2H] of B·T rows, in the features' type; may be columns of a wider tensor.</param>
    /// <param name="dbias">F32 [H], or none.</param>
    public static void Differentiate(Tensor projections, Tensor gateBias, float epsilon, Tensor dalpha, Tensor dprojections, Tensor? dbias)
    {
        (int tokens, int heads) = (projections.Shape[0], gateBias.Shape[0]);
        int tiles = Tiles(tokens);
        using CudaStorage biasSums = dalpha.Cuda.Memory.Rent((long)tiles * heads * sizeof(float));
        int lanes = Lanes(heads | dprojections.RowStride(2 * heads) | (dprojections.Part?.First ?? 0));
        Kernel(dprojections, "decay_gate_backward", lanes, dprojections.Type).Launch(
            new LaunchShape(tiles, Threads, BlocksY: HeadTiles(heads)),
            projections, gateBias, epsilon, dalpha, dprojections.Origin, dprojections.RowStride(2 * heads), biasSums, tokens, heads);
        if (dbias is not null)
            Kernel(dbias, "decay_gate_bias", 1, DType.F32).Launch(new LaunchShape(heads, Threads), biasSums, dbias, tiles, heads);
    }

    /// <summary>Adds to the gradients that are wanted of what was projected.</summary>
    /// <param name="x">[B, T, C].</param>
    /// <param name="weights">What <see cref="Stack"/> gave.</param>
    /// <param name="dprojections">[N, 2H], in the features' type.</param>
    /// <param name="gradients">Where they go.</param>
    /// <param name="storeDx">Whether the gradient of x is not set yet.</param>
    public static void Backward(Tensor x, Tensor weights, Tensor dprojections, DecayGateGradients gradients, bool storeDx)
    {
        CudaDevice device = x.Cuda;
        int projected = dprojections.Shape[1];
        CudaMatrix upstream = CudaMatrix.Of(dprojections);
        if (gradients.X is { } dx)
        {
            CudaMatrix rounded = CudaMatrix.Of(weights).RowRange(0, projected);
            CudaMatrixProduct.Multiply(device, upstream, rounded, CudaMatrix.Of(dx), accumulate: !storeDx);
        }

        if (gradients.GateWeight is null && gradients.AmplitudeWeight is null) return;
        // One product, so that x is read once; the two gradients lie apart.
        using Tensor dweights = Tensor.Empty([projected, x.Shape[2]], DType.F32, x.Device);
        CudaMatrixProduct.Multiply(device, upstream.Transposed, CudaMatrix.Of(x), CudaMatrix.Of(dweights));
        int count = (int)(dweights.Count / 2);
        Kernel(dweights, "decay_gate_add", 1, DType.F32).Launch(
            Elements(count), dweights, gradients.GateWeight, gradients.AmplitudeWeight, count);
    }

    private static int Tiles(int positions) => (positions + TilePositions - 1) / TilePositions;

    private static int HeadTiles(int heads) => (heads + TileHeads - 1) / TileHeads;

    private static LaunchShape Elements(int count) => new((count + Threads - 1) / Threads, Threads);

    /// <summary>Heads in one access of a thread: four where rows of heads begin at multiples of four.</summary>
    private static int Lanes(int heads) => heads % 4 == 0 ? 4 : 1;

    private static int Parts(DType type) => type == DType.BF16 ? 2 : 1;

    private static CudaKernel Kernel(Tensor tensor, string function, int lanes, DType type) =>
        tensor.Cuda.Kernel(Source, function, KernelDefine.Element(type), ("PARTS", Parts(type)), ("LANES", lanes), CudaDecayPrefix.Most(type));
}
