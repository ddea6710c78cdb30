using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// One product gives both projections of all heads, [N, 2H] with N = B·T, in float32 whatever the features are. One kernel then reads
/// each of them once; backward one kernel writes their gradient in the features' type, for the products. Those are bound by reading x:
/// the gate's own kernels, where heads and width allow them, read it once in each direction; a library's would twice backwards.
/// </summary>
/// <remarks>
/// Products of bfloat16 would round the weights to 8 bits, and a decay off by that share of itself is off at every key. There the
/// weights are two parts, rounded and remainder. The gate's own kernel adds up what both give as it reads x; a library's product leaves
/// [N, 2 · 2H], one part behind the other, for the kernel that comes next to add up.
/// </remarks>
internal static class DecayGateCuda
{
    // Of decay_gate_project.cu: features of a stage, tokens of a block, and its threads.
    private const int ProjectFeatures = 64, MostProjectStages = 4, FewestProjectStages = 3;
    private const int FewestProjectTokens = 128, MostProjectTokens = 512, MostProjectThreads = 256;

    // Of decay_gate_products and decay_gate_sum in decay_gate_gradient.cu.
    private const int ProductFeatures = 128, ProductTokens = 32, ProductThreads = 128, ProductStages = 4, ProductBlocks = 4;
    private const int SumThreads = 256;

    private const int MostHeads = 32, RowPadding = 8;

    private static readonly KernelSource Source = new(typeof(DecayGateCuda), "decay_gate.cu");
    private static readonly KernelSource StackSource = new(typeof(DecayGateCuda), "decay_gate_stack.cu");
    private static readonly KernelSource ProjectSource = new(typeof(DecayGateCuda), "decay_gate_project.cu");
    private static readonly KernelSource GradientSource = new(typeof(DecayGateCuda), "decay_gate_gradient.cu");

    /// <summary>x times both weights, without the bias: F32 [N, parts · 2H], for the caller to dispose.</summary>
    public static Tensor Project(Tensor x, Tensor gateWeight, Tensor amplitudeWeight)
    {
        (int tokens, int width, int heads) = (x.Shape[0] * x.Shape[1], x.Shape[2], gateWeight.Shape[0]);
        if (!HasProducts(x.Type, heads, width))
        {
            using Tensor weights = Stack(gateWeight, amplitudeWeight, x.Type);
            Tensor parts = Tensor.Empty([tokens, weights.Shape[0]], DType.F32, x.Device);
            CudaMatrixProduct.Multiply(x.Cuda, CudaMatrix.Of(x), CudaMatrix.Of(weights).Transposed, CudaMatrix.Of(parts));
            return parts;
        }

        // The more tokens a tile has, the less is read of the weights: as many as leave each multiprocessor a tile and have room.
        int StageBytes(int tile) => ProjectFeatures * ((tile * x.Type.Bytes()) + (2 * heads * sizeof(float)));
        int Stages(int tile) => Math.Min(MostProjectStages, x.Cuda.MaxSharedBytes / StageBytes(tile));
        int tile = FewestProjectTokens;
        while (tile < MostProjectTokens && tokens > tile * x.Cuda.Multiprocessors && Stages(2 * tile) >= FewestProjectStages) tile *= 2;
        int stages = Stages(tile);
        Tensor projections = Tensor.Empty([tokens, 2 * heads], DType.F32, x.Device);
        CudaKernel project = x.Cuda.Kernel(
            ProjectSource,
            "decay_gate_project",
            KernelDefine.Element(x.Type),
            ("PROJECTIONS", 2 * heads),
            ("TILE_TOKENS", tile),
            ("STAGES", stages));
        project.Launch(
            new LaunchShape(
                RowLaunch.Quotient(tokens, tile),
                Math.Min(tile, MostProjectThreads),
                stages * StageBytes(tile),
                Overlaps: true,
                MostShared: true),
            x,
            gateWeight,
            amplitudeWeight,
            projections,
            tokens,
            width);
        return projections;
    }

    /// <summary>ELU, softplus, division and, where asked for, the prefix sums.</summary>
    /// <param name="features">The type of x.</param>
    /// <param name="projections">What <see cref="Project"/> gave.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="alpha">F32 [B, T, H].</param>
    /// <param name="prefix">Of α [B, T, H].</param>
    public static void Forward(DType features, Tensor projections, Tensor gateBias, float epsilon, Tensor alpha, DecayGatePrefix? prefix)
    {
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        Kernel(projections, "decay_gate_forward", Lanes(heads), features, heads).Launch(
            CudaDecayPrefix.Blocks(positions, heads, batch, overlaps: true),
            projections, gateBias, epsilon, alpha, prefix?.Local, prefix?.Totals, positions, heads);
    }

    /// <summary>Stores the gradient of the projections; the weights' and x's are left to whoever has made those.</summary>
    /// <param name="projections">What <see cref="Project"/> gave.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="dalpha">F32 [B, T, H].</param>
    /// <param name="dprojections">[..., 2H] of B·T rows, in the features' type; may be columns of a wider tensor.</param>
    /// <param name="bias">F32 [H].</param>
    public static void Backward(Tensor projections, Tensor gateBias, float epsilon, Tensor dalpha, Tensor dprojections, GradientTarget bias)
    {
        using CudaStorage biasSums = Differentiate(projections, gateBias, epsilon, dalpha, dprojections);
        Sum(null, 0, [gateBias.Shape[0], 0], biasSums, Tiles(projections.Shape[0]), default, default, bias);
    }

    /// <summary>All gradients that are wanted.</summary>
    /// <param name="x">[B, T, C].</param>
    /// <param name="gateWeight">F32 [H, C].</param>
    /// <param name="amplitudeWeight">F32 [H, C].</param>
    /// <param name="projections">What <see cref="Project"/> gave.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="dalpha">F32 [B, T, H].</param>
    /// <param name="gradients">Where they go.</param>
    public static void Backward(
        Tensor x,
        Tensor gateWeight,
        Tensor amplitudeWeight,
        Tensor projections,
        Tensor gateBias,
        float epsilon,
        Tensor dalpha,
        DecayGateTargets gradients)
    {
        (int tokens, int width, int heads) = (projections.Shape[0], x.Shape[2], gateBias.Shape[0]);
        using Tensor dprojections = Tensor.Empty([tokens, 2 * heads], x.Type, x.Device);
        using CudaStorage biasSums = Differentiate(projections, gateBias, epsilon, dalpha, dprojections);
        (GradientTarget dx, GradientTarget gate, GradientTarget bias, GradientTarget amplitude) = gradients;
        bool wantsWeights = gate.Tensor is not null || amplitude.Tensor is not null;
        bool isOneProduct = wantsWeights && dx.Tensor is not null && HasProducts(x.Type, heads, width);
        int strips = isOneProduct ? Strips(x.Cuda, tokens, width) : 1;
        using CudaStorage? parts = wantsWeights ? x.Cuda.Memory.Rent((long)strips * 2 * heads * width * sizeof(float)) : null;
        if (isOneProduct)
        {
            MultiplyBoth(x, gateWeight, amplitudeWeight, dprojections, dx, parts!, strips);
        }
        else
        {
            using Tensor weights = Stack(gateWeight, amplitudeWeight, x.Type);
            Multiply(x, weights, dprojections, dx, parts);
        }

        Sum(parts, strips, [heads, width], biasSums, Tiles(tokens), gate, amplitude, bias);
    }

    /// <summary>[gateWeight; amplitudeWeight] in the features' type, [parts · 2H, C], for the caller to dispose.</summary>
    private static Tensor Stack(Tensor gateWeight, Tensor amplitudeWeight, DType type)
    {
        (int count, int heads, int parts) = (checked((int)gateWeight.Count), gateWeight.Shape[0], type == DType.BF16 ? 2 : 1);
        Tensor weights = Tensor.Empty([parts * 2 * heads, gateWeight.Shape[1]], type, gateWeight.Device);
        weights.Cuda.Kernel(StackSource, "decay_gate_stack", KernelDefine.Element(type), ("PARTS", parts)).Launch(
            RowLaunch.Over(count), gateWeight, amplitudeWeight, weights, count);
        return weights;
    }

    /// <summary>Stores the gradient of the projections and gives what each tile of tokens adds to that of the bias.</summary>
    private static CudaStorage Differentiate(Tensor projections, Tensor gateBias, float epsilon, Tensor dalpha, Tensor dprojections)
    {
        (int tokens, int heads) = (projections.Shape[0], gateBias.Shape[0]);
        CudaStorage biasSums = dalpha.Cuda.Memory.Rent((long)Tiles(tokens) * heads * sizeof(float));
        int lanes = Lanes(heads | dprojections.RowStride(2 * heads) | (dprojections.Part?.First ?? 0));
        Kernel(projections, "decay_gate_backward", lanes, dprojections.Type, heads).Launch(
            CudaDecayPrefix.Blocks(tokens, heads),
            projections, gateBias, epsilon, dalpha, dprojections.Origin, dprojections.RowStride(2 * heads), biasSums, tokens, heads);
        return biasSums;
    }

    /// <summary>Whether the gate has kernels of its own for its products, which read x once in each direction.</summary>
    private static bool HasProducts(DType type, int heads, int width) =>
        type != DType.F32 && heads % 4 == 0 && heads <= MostHeads && width % 8 == 0;

    /// <summary>Into how many parts the tokens are dealt: about four blocks a multiprocessor.</summary>
    private static int Strips(CudaDevice device, int tokens, int width)
    {
        int slabs = RowLaunch.Quotient(width, ProductFeatures);
        return Math.Clamp(ProductBlocks * device.Multiprocessors / slabs, 1, RowLaunch.Quotient(tokens, ProductTokens));
    }

    private static void MultiplyBoth(
        Tensor x, Tensor gateWeight, Tensor amplitudeWeight, Tensor dprojections, GradientTarget dx, CudaStorage parts, int strips)
    {
        (int projected, int width) = (dprojections.Shape[1], x.Shape[2]);
        int rowElements = ProductFeatures + RowPadding + (RowLaunch.Quotient(projected, 16) * 16) + RowPadding;
        int stageBytes = ProductTokens * rowElements * x.Type.Bytes(), slabs = RowLaunch.Quotient(width, ProductFeatures);
        x.Cuda.Kernel(GradientSource, "decay_gate_products", KernelDefine.Element(x.Type), ("PROJECTIONS", projected)).Launch(
            new LaunchShape(slabs, ProductThreads, ProductStages * stageBytes, BlocksY: strips, Overlaps: true),
            x,
            dprojections,
            gateWeight,
            amplitudeWeight,
            dx.Tensor,
            parts,
            !dx.IsFresh,
            dprojections.Shape[0],
            width);
    }

    /// <summary>The same by two products, of which either may be unwanted; parts is then one.</summary>
    private static void Multiply(Tensor x, Tensor weights, Tensor dprojections, GradientTarget dx, CudaStorage? parts)
    {
        CudaMatrix upstream = CudaMatrix.Of(dprojections);
        (int projected, int width) = (dprojections.Shape[1], x.Shape[2]);
        if (dx.Tensor is not null)
        {
            CudaMatrix rounded = CudaMatrix.Of(weights).RowRange(0, projected);
            CudaMatrixProduct.Multiply(x.Cuda, upstream, rounded, CudaMatrix.Of(dx.Tensor), accumulate: !dx.IsFresh);
        }

        if (parts is null) return;
        // One product, so that x is read once; the two gradients lie apart.
        CudaMatrixProduct.Multiply(
            x.Cuda, upstream.Transposed, CudaMatrix.Of(x), new CudaMatrix(parts.Address, DType.F32, projected, width, width));
    }

    /// <summary>The gradients of weights and bias from what blocks have left side by side.</summary>
    /// <param name="parts">F32 [count, 2H, C], or none.</param>
    /// <param name="count">The parts.</param>
    /// <param name="weight">[H, C].</param>
    /// <param name="biasSums">F32 [tiles, H].</param>
    /// <param name="tiles">Tiles of tokens.</param>
    /// <param name="gate">F32 [H, C].</param>
    /// <param name="amplitude">F32 [H, C].</param>
    /// <param name="bias">F32 [H].</param>
    private static void Sum(
        CudaStorage? parts,
        int count,
        Shape weight,
        CudaStorage biasSums,
        int tiles,
        GradientTarget gate,
        GradientTarget amplitude,
        GradientTarget bias)
    {
        int lanes = Lanes(weight[1]), elements = parts is null ? 0 : (int)weight.Count, heads = weight[0];
        int blocks = RowLaunch.Quotient(elements, 32 * lanes) + (bias.Tensor is null ? 0 : heads);
        int stores = (gate.IsFresh ? 1 : 0) + (amplitude.IsFresh ? 2 : 0) + (bias.IsFresh ? 4 : 0);
        biasSums.Cuda.Kernel(GradientSource, "decay_gate_sum", ("LANES", lanes)).Launch(
            new LaunchShape(blocks, SumThreads, Overlaps: true),
            parts,
            count,
            elements,
            gate.Tensor,
            amplitude.Tensor,
            biasSums,
            tiles,
            heads,
            bias.Tensor,
            stores);
    }

    /// <summary>Tiles of tokens that each leave a sum of the bias's gradient.</summary>
    private static int Tiles(int tokens) => RowLaunch.Quotient(tokens, TwoLevelPrefix.ChunkPositions);

    /// <summary>Heads in one access of a thread: four where rows of heads begin at multiples of four.</summary>
    private static int Lanes(int heads) => heads % 4 == 0 ? 4 : 1;

    /// <param name="projections">[N, parts · 2H].</param>
    /// <param name="function">The kernel.</param>
    /// <param name="lanes">Heads in one access of a thread.</param>
    /// <param name="features">The type of x.</param>
    /// <param name="heads">H.</param>
    private static CudaKernel Kernel(Tensor projections, string function, int lanes, DType features, int heads) => projections.Cuda.Kernel(
        Source,
        function,
        KernelDefine.Element(features),
        ("PARTS", projections.Shape[1] / (2 * heads)),
        ("LANES", lanes),
        CudaDecayPrefix.Most(features));
}

/// <summary>Where the gradients of a gate on a GPU go.</summary>
/// <param name="X">[B, T, C].</param>
/// <param name="GateWeight">F32 [H, C].</param>
/// <param name="GateBias">F32 [H].</param>
/// <param name="AmplitudeWeight">F32 [H, C].</param>
internal readonly record struct DecayGateTargets(
    GradientTarget X, GradientTarget GateWeight, GradientTarget GateBias, GradientTarget AmplitudeWeight);
