using GatedFwa.Checkpoints;
using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>
/// Runs an operator on tensors from a safetensors file and writes its results and gradients to another: the door for anyone who
/// wants to hold this implementation against their own. Names and shapes are those of docs/operator.md.
/// </summary>
/// <remarks>
/// <para><c>gated_window_attention</c>: q [B, T, H, D], k and v [B, S, Hkv, D], optionally alpha [B, S, H], cu_seqlens [n + 1] and
/// do [B, T, H, D] give o and lse [B, H, T], and with do also dq, dk, dv and (with alpha) dalpha. Metadata: window, scale.</para>
/// <para><c>native_sparse_attention</c>: the same inputs but lse, and g_cmp, g_slc and g_win [B, T, H], give o and block_indices
/// [B, Hkv, T, n] (I32, ascending, −1 where there are no more), and with do also dq, dk, dv, dalpha, dg_cmp, dg_slc and dg_win.
/// Metadata: window, block_size, block_count, scale.</para>
/// <para><c>decay_gate</c>: x [B, T, C], gate_weight and amplitude_weight [H, C], gate_bias [H], optionally cu_seqlens and
/// dalpha [B, T, H] give alpha and u [B, T, H], and with dalpha also dx, dgate_weight, dgate_bias and damplitude_weight.
/// Metadata: epsilon.</para>
/// </remarks>
/// <example>
/// <code>
/// OperatorResult result = OperatorFile.Run("in.safetensors", "out.safetensors", new OperatorSettings { Window = 512 });
/// </code>
/// </example>
public static class OperatorFile
{
    /// <summary>The metadata <c>kind</c> of attention.</summary>
    public const string AttentionKind = "gated_window_attention";

    /// <summary>The metadata <c>kind</c> of native sparse attention.</summary>
    public const string NativeSparseKind = "native_sparse_attention";

    /// <summary>The metadata <c>kind</c> of the gate.</summary>
    public const string GateKind = "decay_gate";

    /// <summary>All kinds, for an error's remedy.</summary>
    internal const string Kinds = $"{AttentionKind}, {NativeSparseKind} or {GateKind}";

    /// <summary>Reads the inputs, runs the operator and writes the output file.</summary>
    /// <param name="input">A safetensors file with the inputs.</param>
    /// <param name="output">The file to write; its folder must exist.</param>
    /// <param name="settings">What is to differ from the input's metadata.</param>
    /// <returns>What was computed.</returns>
    /// <exception cref="InputException">The input is damaged or lacks a tensor, a tensor has the wrong shape or type or holds NaN, a
    /// setting is impossible, or the output cannot be written. Nothing is written then.</exception>
    public static OperatorResult Run(string input, string output, OperatorSettings? settings = null)
    {
        OperatorResult result = Compute(input, settings);
        SafetensorsWriter.Write(output, result.Tensors, result.Metadata);
        return result;
    }

    /// <summary>Reads the inputs and runs the operator.</summary>
    /// <param name="input">A safetensors file with the inputs.</param>
    /// <param name="settings">What is to differ from the input's metadata.</param>
    /// <returns>What was computed, ready to be written.</returns>
    /// <exception cref="InputException">The input is damaged or lacks a tensor, a tensor has the wrong shape or type or holds NaN, or a
    /// setting is impossible.</exception>
    public static OperatorResult Compute(string input, OperatorSettings? settings = null)
    {
        using SafetensorsFile file = SafetensorsFile.Open(input);
        return Compute(file, settings ?? new OperatorSettings());
    }

    internal static OperatorResult Compute(SafetensorsFile file, OperatorSettings settings)
    {
        var inputs = new OperatorInputs(file);
        if (settings.Type == DType.I32 || (settings.Device.IsCpu && settings.Type != DType.F32))
        {
            string types = settings.Device.IsCpu ? "f32 (bf16 and f16 run on GPUs)" : "f32, bf16 or f16";
            throw new InputException($"The operators cannot compute in {settings.Type} on {settings.Device}; use {types}.");
        }

        try
        {
            file.Verify();
            return (settings.Kind ?? inputs.Kind()) switch
            {
                AttentionKind => AttentionFile.Run(inputs, settings),
                NativeSparseKind => NativeSparseFile.Run(inputs, settings),
                GateKind => DecayGateFile.Run(inputs, settings),
                string kind => throw new InputException(
                    $"{Phrase.Quote(file.Name)} is of the kind {Phrase.Quote(kind)}, which is not known here; use {Kinds}."),
            };
        }
        catch (OperandException e)
        {
            // The operator's own door: what is checked there is not checked twice.
            throw new InputException(
                $"The tensors of {Phrase.Quote(file.Name)} do not fit: {e.Message.TrimEnd('.')}; correct the file.",
                e);
        }
    }
}
