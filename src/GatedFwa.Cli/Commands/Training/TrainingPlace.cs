using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>Where a run trains this time, and in which precision: no setting of the run, which may go on elsewhere.</summary>
/// <param name="Device">The device.</param>
/// <param name="Activations">The type of activations, where one was named.</param>
internal sealed record TrainingPlace(Device Device, DType? Activations)
{
    /// <summary>Bytes of an activation.</summary>
    public int ActivationBytes => (Activations ?? LanguageModel.DefaultActivations(Device)).Bytes();

    /// <summary>All memory that there is.</summary>
    public long MemoryBytes => Device.IsCpu ? Machine.Current.MemoryBytes : CudaDevice.Get(Device.Index).TotalBytes;

    /// <summary>What has that memory, in words.</summary>
    public string Owner => Device.IsCpu ? "this machine" : Device.ToString();

    /// <summary>What computes and with which version, on one line: what figures are published with.</summary>
    public string MachineInWords
    {
        get
        {
            Machine machine = Machine.Current;
            string where = Device.IsCpu
                ? $"{machine.Processor}, {Words.Count(WorkerPool.Shared.Threads, "thread")}, {machine.Simd}"
                : CudaDevice.Get(Device.Index).Name;
            return $"{where}, {machine.Runtime}, gatedfwa {machine.VersionInWords}";
        }
    }
}
